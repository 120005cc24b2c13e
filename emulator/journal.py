"""The state file: one SQLite database, one connection, one process.

It holds what must outlive a stop and a ``kill -9``: tenants, applications, signing keys, subscriptions, messages
with their deliveries, facts waiting for their window, declared faults, the clock. Whatever was answered to a
caller was committed before; bookkeeping of attempts is committed in batches (``ledger``), so that a kill repeats
deliveries and loses none.

Never open the file twice: the exclusive lock refuses a second emulator, and an old SQLite in write-ahead mode
must not have a second writer. ``synchronous=NORMAL`` survives the death of the process, which is all a
rehearsal needs; it is not the setting for data that must survive a power cut.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE_KIB = 65_536  # the pending deliveries of a large rehearsal and their index: each attempt moves an entry of it
FORMAT = 1  # PRAGMA user_version; another number is a file of another program version

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE faults (
  name TEXT PRIMARY KEY, probability REAL NOT NULL, starts_at REAL NOT NULL, ends_at REAL
) WITHOUT ROWID;
CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY, zone TEXT NOT NULL, serial INTEGER NOT NULL, pem TEXT NOT NULL, retired_at REAL
) WITHOUT ROWID;
CREATE TABLE tenants (name TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE applications (
  client_id TEXT PRIMARY KEY, serial INTEGER NOT NULL, document TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE service_accounts (
  client_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, secret TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE provisioned (
  host TEXT NOT NULL, app TEXT NOT NULL, tenant TEXT NOT NULL, PRIMARY KEY (host, app, tenant)
) WITHOUT ROWID;
CREATE TABLE subscriptions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, topic TEXT NOT NULL,
  subscriber TEXT NOT NULL, version TEXT NOT NULL, uri TEXT NOT NULL, active INTEGER NOT NULL
);
CREATE UNIQUE INDEX subscription_key ON subscriptions (tenant, topic, subscriber, version) WHERE active;
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, topic TEXT NOT NULL, context TEXT NOT NULL,
  published_at REAL NOT NULL, verbatim INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY, message INTEGER NOT NULL, subscription INTEGER NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, acknowledged INTEGER NOT NULL, resend INTEGER NOT NULL,
  wake_at REAL NOT NULL, rank INTEGER NOT NULL, expires_at REAL NOT NULL, uri TEXT, outcome TEXT NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (subscription, wake_at, rank) WHERE state = 'pending';
CREATE TABLE facts (
  id INTEGER PRIMARY KEY, due_at REAL NOT NULL, tenant TEXT NOT NULL, topic TEXT NOT NULL, item TEXT NOT NULL
);
CREATE INDEX facts_due ON facts (due_at);
"""


class StateError(Exception):
    """The state file cannot be used; the text says why and what to do."""


class Journal:
    """The open state file. ``db`` is for the modules that own the tables above."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.db = _open(self.path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; nested use joins the outer one."""
        if self.db.in_transaction:
            yield self.db
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def extend(self, schema: str) -> None:
        """A platform's own tables: ``CREATE … IF NOT EXISTS`` statements, so older state files gain them too."""
        with self.transaction() as db:
            for statement in schema.split(";"):
                db.execute(statement)

    def remember(self, name: str, value: object) -> None:
        """Keep one JSON value under a name."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    def recall(self, name: str) -> object:
        """The value kept under ``name``, else None."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def close(self) -> None:
        self.db.close()


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds signing keys and secrets
        db = sqlite3.connect(path, isolation_level=None, timeout=0)
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"cannot open the state file {path}: {error}") from error
    try:
        _prepare(db, path)
    except sqlite3.OperationalError as error:
        db.close()
        if "locked" in str(error):
            raise StateError(f"another emulator uses the state file {path}") from error
        raise StateError(f"cannot use the state file {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        db.close()
        raise StateError(f"{path} is not an emulator's state file: {error}") from error
    except StateError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # exclusive before the first read: no shared memory file, and a second process is refused
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("BEGIN IMMEDIATE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("COMMIT")
    if version not in (0, FORMAT):
        raise StateError(f"{path} has format {version}, this emulator reads {FORMAT}: remove it or name another")
