"""SQLite's migrations, in order, and how they are run.

Times are integer milliseconds since 1970. Tables are STRICT: a wrong type is an error here, not a surprise later.
Every index costs accepting some throughput, so each one says which question it answers; the partial ones cost
nothing while a row is outside them.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from migrations import MigrationFailed

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3  # brings a current SQLite
    except ImportError:
        import sqlite3

LOCK_SECONDS = 60.0  # longer than any commit; a holder that keeps it this long is stuck, not busy
POLL_SECONDS = 0.05  # flock has no time limit of its own

schema = Migrations("subscriber")

INBOX = (
    # A name is unique on its platform only. Erasing leaves the row (`gone`) and ids are never given again.
    """
    CREATE TABLE tenants (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        platform TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'leaving', 'gone')),
        since INTEGER NOT NULL,
        UNIQUE (platform, name)
    ) STRICT
    """,
    # The row is the deduplication and the queue. `body` comes last: what is read often lies before it on the page.
    """
    CREATE TABLE inbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL REFERENCES tenants (id),
        key BLOB NOT NULL,
        repeat INTEGER NOT NULL DEFAULT 0,
        identity TEXT NOT NULL,
        topic TEXT NOT NULL,
        channel TEXT NOT NULL,
        source TEXT NOT NULL,
        action TEXT NOT NULL,
        occurred_at INTEGER,
        received_at INTEGER NOT NULL,
        content BLOB,
        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'dead')),
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before INTEGER NOT NULL,
        lease INTEGER NOT NULL DEFAULT 0,
        lease_until INTEGER,
        sinks_done TEXT NOT NULL DEFAULT '',
        settled_at INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '',
        body BLOB
    ) STRICT
    """,
    # Is it in already?
    "CREATE UNIQUE INDEX inbox_key ON inbox (tenant_id, key)",
    # A tenant's newest rows.
    "CREATE INDEX inbox_tenant ON inbox (tenant_id, seq)",
    # Has anything later come from this source? What came from it at all? Two halves: in one index of millions, each
    # new row of a random source would touch a random page, and accepting would slow down with what is remembered.
    # The pending half stays small; the lease that starts a row moves it to the other.
    """
    CREATE INDEX inbox_source_new ON inbox (tenant_id, source, occurred_at)
    WHERE source <> '' AND state = 'pending'
    """,
    """
    CREATE INDEX inbox_source_old ON inbox (tenant_id, source, occurred_at)
    WHERE source <> '' AND state <> 'pending'
    """,
    # Which lanes have work, and which row of a lane waits longest?
    "CREATE INDEX inbox_pending ON inbox (tenant_id, topic, not_before, seq) WHERE state = 'pending'",
    # Which leases ran out?
    "CREATE INDEX inbox_running ON inbox (lease_until) WHERE state = 'running'",
    # How many are dead, and which?
    "CREATE INDEX inbox_dead ON inbox (tenant_id, seq) WHERE state = 'dead'",
    # What may be forgotten: bodies, then done rows, then dead ones; each the longest settled first.
    "CREATE INDEX inbox_bodies ON inbox (settled_at) WHERE state = 'done' AND body IS NOT NULL",
    "CREATE INDEX inbox_spent ON inbox (settled_at) WHERE state = 'done' AND body IS NULL",
    "CREATE INDEX inbox_buried ON inbox (settled_at) WHERE state = 'dead'",
    """
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL REFERENCES tenants (id),
        reason TEXT NOT NULL,
        digest BLOB NOT NULL,
        key BLOB,
        detail TEXT NOT NULL,
        buried_at INTEGER NOT NULL,
        count INTEGER NOT NULL DEFAULT 1,
        last_at INTEGER NOT NULL,
        body BLOB,
        UNIQUE (tenant_id, reason, digest)
    ) STRICT
    """,
    "CREATE INDEX dead_letters_tenant ON dead_letters (tenant_id, id)",
    "CREATE INDEX dead_letters_last ON dead_letters (last_at)",
    # Counted in the transaction of the rows they count. Pages and alarms read these, never the big tables. `writer`
    # is always 0 here, where one writes at a time; elsewhere each writer has rows of its own.
    """
    CREATE TABLE minutes (
        minute INTEGER NOT NULL,
        tenant_id INTEGER NOT NULL,
        event TEXT NOT NULL,
        writer INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (minute, tenant_id, event, writer)
    ) STRICT, WITHOUT ROWID
    """,
    # Each new row is counted by the statement that inserts it, whichever that is; `not_before` is then the time of
    # acceptance. A tenant that was erased gets no row any more, not even from a process that has not heard of it.
    """
    CREATE TRIGGER inbox_accepted AFTER INSERT ON inbox BEGIN
        SELECT RAISE (ABORT, 'the tenant is gone') FROM tenants WHERE id = NEW.tenant_id AND state = 'gone';
        INSERT INTO minutes (minute, tenant_id, event, writer, count)
        VALUES (NEW.not_before / 60000, NEW.tenant_id, 'accepted', 0, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
    END
    """,
    # Counts that never fall: they outlive minutes and rows. Tenant 0 keeps the numbers of those erased.
    """
    CREATE TABLE totals (
        tenant_id INTEGER NOT NULL,
        event TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, event)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE subscriptions (
        tenant_id INTEGER NOT NULL REFERENCES tenants (id),
        topic TEXT NOT NULL,
        subscriber TEXT NOT NULL,
        version TEXT NOT NULL,
        uri TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'failed', 'stale')),
        detail TEXT NOT NULL,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, topic, subscriber, version)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE heartbeats (platform TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE gaps (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        platform TEXT NOT NULL,
        tenant_id INTEGER REFERENCES tenants (id),
        channel TEXT NOT NULL,
        lost_from INTEGER NOT NULL,
        lost_until INTEGER NOT NULL,
        reason TEXT NOT NULL,
        noticed_at INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX gaps_tenant ON gaps (tenant_id) WHERE tenant_id IS NOT NULL",
    """
    CREATE TABLE locks (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        until INTEGER NOT NULL,
        fencing INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE pauses (
        kind TEXT NOT NULL CHECK (kind IN ('tenant', 'platform', 'topic')),
        name TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
)


def inbox(db: Database) -> None:
    """Tenants, the inbox and all that counts, watches and steers it."""
    for statement in INBOX:
        db.execute(statement)


schema(name="0001_inbox")(inbox)

ROSTER = (
    # Whom a platform has given the application to, as lists and notices say. By name: a notice may come before
    # anything else of a tenant, also the one that it has left.
    """
    CREATE TABLE roster (
        platform TEXT NOT NULL,
        name TEXT NOT NULL,
        member INTEGER NOT NULL CHECK (member IN (0, 1)),
        missed INTEGER NOT NULL DEFAULT 0,
        heard_at INTEGER,
        told TEXT NOT NULL DEFAULT '' CHECK (told IN ('', 'joined', 'left')),
        PRIMARY KEY (platform, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE censuses (
        platform TEXT PRIMARY KEY,
        read_at INTEGER,
        waiting INTEGER NOT NULL DEFAULT 0,
        reconciled_at INTEGER
    ) STRICT, WITHOUT ROWID
    """,
)


def roster(db: Database) -> None:
    """Who is provisioned, and what was last read and done about it."""
    for statement in ROSTER:
        db.execute(statement)


schema(name="0002_roster")(roster)

CREDENTIALS = (
    # Nobody can be asked when credentials were issued, so the day they were first used is kept. Never a secret.
    """
    CREATE TABLE credentials (
        client_id TEXT PRIMARY KEY,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)


def credentials(db: Database) -> None:
    """Since when which application credentials are used."""
    for statement in CREDENTIALS:
        db.execute(statement)


schema(name="0003_credentials")(credentials)

# A row that waits for an earlier one of its source is parked: its `not_before` is so many milliseconds later than it
# was. That is the year 8307 and beyond: nobody's time, and still a date to an older program.
PARKED = 200_000_000_000_000
OF_SOURCE = f"state = 'pending' AND not_before >= {PARKED} AND tenant_id = OLD.tenant_id AND source = OLD.source"
# The first parked row of each topic of a source goes on. One look into the index per topic, however much is parked.
UNPARK = f"""
    UPDATE inbox SET not_before = not_before - {PARKED} WHERE seq IN (
        WITH RECURSIVE first (topic, seq) AS (
            SELECT * FROM (SELECT topic, seq FROM inbox WHERE {OF_SOURCE} ORDER BY topic, seq LIMIT 1)
            UNION ALL
            SELECT next.topic, next.seq FROM first JOIN inbox AS next ON next.seq =
                (SELECT seq FROM inbox WHERE {OF_SOURCE} AND topic > first.topic ORDER BY topic, seq LIMIT 1)
        )
        SELECT seq FROM first);
"""
# SQLite keeps a row's number behind the columns of every index: within (tenant, source, topic) rows are in order of
# arrival without saying so.
ORDER = (
    # What waits from this source, and what of it came first? This half was in order of `occurred_at` before; one more
    # index on what comes in would have slowed down accepting.
    "DROP INDEX inbox_source_new",
    """
    CREATE INDEX inbox_source_new ON inbox (tenant_id, source, topic)
    WHERE source <> '' AND state = 'pending'
    """,
    # What of this source runs?
    """
    CREATE INDEX inbox_source_running ON inbox (tenant_id, source, topic)
    WHERE source <> '' AND state = 'running'
    """,
    # Which rows of this source are parked?
    f"""
    CREATE INDEX inbox_parked ON inbox (tenant_id, source, topic)
    WHERE state = 'pending' AND not_before >= {PARKED}
    """,
    # Whoever ends a row or deletes it lets others go on: by triggers, so that no row is left behind, not even by an
    # older program. Ends are told by `settled_at`: a trigger on `state` would make each lease a fifth slower.
    f"""
    CREATE TRIGGER inbox_settled AFTER UPDATE OF settled_at ON inbox
    WHEN NEW.settled_at IS NOT NULL AND EXISTS (SELECT 1 FROM inbox WHERE {OF_SOURCE})
    BEGIN {UNPARK} END
    """,
    f"""
    CREATE TRIGGER inbox_dropped AFTER DELETE ON inbox
    WHEN OLD.state IN ('pending', 'running')
    AND EXISTS (SELECT 1 FROM inbox WHERE {OF_SOURCE})
    BEGIN {UNPARK} END
    """,
)


def order(db: Database) -> None:
    """Rows of one source one after another."""
    for statement in ORDER:
        db.execute(statement)


schema(name="0004_order")(order)

# Both go with their tenant, even when an older program deletes it.
CHANNELS = (
    # What a channel remembers, written with the notifications it belongs to. An empty value is no row. The limit is
    # store.CHANNEL_FACT_BYTES. With row numbers: values are large, and would lie in the way of a look for the key.
    """
    CREATE TABLE channel_facts (
        tenant_id INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
        channel TEXT NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL CHECK (length(value) BETWEEN 1 AND 1048576),
        PRIMARY KEY (tenant_id, channel, name)
    ) STRICT
    """,
    # As operators see them, each as its process last said.
    """
    CREATE TABLE channels (
        tenant_id INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
        channel TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('connecting', 'connected', 'waiting', 'stopped')),
        detail TEXT NOT NULL,
        since INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, channel, name)
    ) STRICT, WITHOUT ROWID
    """,
)


def channels(db: Database) -> None:
    """What channels remember, and how they are."""
    for statement in CHANNELS:
        db.execute(statement)


schema(name="0005_channels")(channels)

QUARTERS = (
    # What `minutes` says of all tenants together, a quarter of an hour at a time: charts of days and weeks must not
    # add up every tenant's every minute. Rows come when a quarter is over; the event '' says that it has been summed.
    """
    CREATE TABLE quarters (
        quarter INTEGER NOT NULL,
        event TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (quarter, event)
    ) STRICT, WITHOUT ROWID
    """,
)


def quarters(db: Database) -> None:
    """Counters of all tenants together."""
    for statement in QUARTERS:
        db.execute(statement)


schema(name="0006_quarters")(quarters)


def pending(path: str) -> list[str]:
    """See ``migrations.pending``."""
    if not Path(path).exists():
        return _names(Database(memory=True))
    with _opened(path, "ro") as db:
        return _names(db)


def apply(path: str) -> list[str]:
    """See ``migrations.apply``."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MigrationFailed(f"cannot make the folder of {path}: {error.strerror}") from error
    with _writers_lock(path), _opened(path, "rwc") as db:
        db.execute("PRAGMA journal_mode = WAL")  # a property of the file: it stays
        names = _names(db)
        schema.apply(db)
        return names


def _names(db: Database) -> list[str]:
    return [migration.name for migration in schema.pending(db)]


@contextmanager
def _opened(path: str, mode: str) -> Iterator[Database]:
    """A connection that never creates more than its mode says. Errors of the library become ``MigrationFailed``."""
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode={mode}", uri=True)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield Database(connection)
    except sqlite3.Error as error:
        raise MigrationFailed(f"{path}: {error}") from error


@contextmanager
def _writers_lock(path: str) -> Iterator[None]:
    """The lock every writer of this database holds while it writes: ``<database>.lock`` beside it."""
    try:
        file = open(path + ".lock", "ab")
    except OSError as error:
        raise MigrationFailed(f"cannot write beside {path}: {error.strerror}") from error
    with file:
        _wait_for(file, path)
        yield


def _wait_for(file: IO[bytes], path: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise MigrationFailed(f"another process kept the lock on {path} for {LOCK_SECONDS:.0f} s") from error
        time.sleep(POLL_SECONDS)
