"""PostgreSQL's migrations: one file of SQL each, in the order of their names, and how they are run.

The record of what was applied is the table ``_migrations``. Each file runs in one transaction with its record, under
an advisory lock that every ``apply`` takes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import Connection, sql

from migrations import MigrationFailed

FOLDER = Path(__file__).parent
CONNECT_SECONDS = 10
LOCK_SECONDS = 60  # longer than any migration so far; a holder that keeps it this long is stuck, not busy
LOCK = 0x7375_6273_6372  # "subscr": this program's number among the advisory locks of the database
RECORD = """
    CREATE TABLE IF NOT EXISTS _migrations (
        name text PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
# Rows restored from a dump carry transaction numbers of the database they came from. Those ahead of this one's would
# wait for transactions that never were, so they become the first of all: among themselves `seq` keeps their order.
ADOPT = "UPDATE inbox SET xid = '3' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"


def pending(url: str) -> list[str]:
    """See ``migrations.pending``."""
    with _opened(url) as connection:
        return _pending(connection)


def apply(url: str) -> list[str]:
    """See ``migrations.apply``. The database itself must exist; its owner need not be a superuser."""
    with _opened(url) as connection:
        connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))
        with _lock(connection):
            names = _pending(connection)
            for name in names:
                _run(connection, name)
            connection.execute("SET subscriber.everybody = 'on'")
            connection.execute(ADOPT)
        return names


def names() -> list[str]:
    """Every migration there is, oldest first."""
    return sorted(file.stem for file in FOLDER.glob("[0-9]*.sql"))


def _pending(connection: Connection) -> list[str]:
    if connection.execute("SELECT to_regclass('_migrations')").fetchall() == [(None,)]:
        return names()
    applied = {name for (name,) in connection.execute("SELECT name FROM _migrations").fetchall()}
    return [name for name in names() if name not in applied]


def _run(connection: Connection, name: str) -> None:
    with connection.transaction():
        connection.execute(RECORD)
        connection.execute((FOLDER / f"{name}.sql").read_bytes())
        connection.execute("INSERT INTO _migrations (name) VALUES (%s)", (name,))


@contextmanager
def _opened(url: str) -> Iterator[Connection]:
    """A connection that commits each statement. Errors of the library become ``MigrationFailed``."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            yield connection
    except psycopg.Error as error:
        raise MigrationFailed(_in_words(error)) from error


@contextmanager
def _lock(connection: Connection) -> Iterator[None]:
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationFailed(f"another process kept the lock on the database for {LOCK_SECONDS} s") from error
    yield  # the end of the connection lets go of it, however that comes about


def _in_words(error: psycopg.Error) -> str:
    """One line; a server's own message where there is one. Never the address: it may hold a password."""
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return f"the database said: {text}" if error.sqlstate else f"the database cannot be reached: {text}"
