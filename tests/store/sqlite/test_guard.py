"""What statements a handler's cursor takes, asked of SQLite itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.store.sqlite import guard
from subscriber.store.sqlite.driver import Connection, DriverError, forbidden, open_reader, open_writer


@pytest.fixture
def guarded(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SAVEPOINT known")  # prepared statements may come from before
        connection.execute("RELEASE known")
        connection.set_authorizer(guard.authorize)
        yield connection
        connection.set_authorizer(None)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM inbox JOIN theirs ON theirs.id = inbox.seq",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) FROM n",
        "INSERT INTO theirs (name) VALUES ('a') ON CONFLICT DO UPDATE SET name = excluded.name RETURNING id",
        "UPDATE theirs SET name = upper(name)",
        "DELETE FROM theirs",
        "CREATE TABLE IF NOT EXISTS more (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)",
        "CREATE INDEX theirs_name ON theirs (name)",
    ],
)
def test_a_handler_reads_everything_and_writes_what_is_its_own(guarded: Connection, statement: str) -> None:
    guarded.execute(statement).fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "/* a comment first */ rollback",
        "END",
        "SAVEPOINT known",
        "RELEASE known",
        "INSERT INTO tenants (platform, name, state, since) VALUES ('p', 'n', 'active', 0)",
        "UPDATE INBOX SET state = 'done'",
        "UPDATE main.inbox SET state = 'done'",
        "DELETE FROM dead_letters",
        "DELETE FROM _sqlite_migrations",
        "UPDATE sqlite_sequence SET seq = 0",
        "UPDATE sqlite_schema SET sql = ''",
        "DROP TABLE inbox",
        "DROP TABLE theirs",
        "ALTER TABLE inbox ADD COLUMN more",
        "DROP INDEX inbox_key",
        "CREATE INDEX more ON inbox (body)",
        "CREATE TRIGGER more AFTER INSERT ON inbox BEGIN SELECT 1; END",
        "CREATE TEMP TABLE inbox (seq)",
        "CREATE TEMP VIEW inbox AS SELECT 1",
        "CREATE VIEW more AS SELECT 1",
        "PRAGMA synchronous = OFF",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM pragma_table_info('inbox')",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "ANALYZE",
    ],
)
def test_whatever_else_it_tries_is_refused(guarded: Connection, statement: str) -> None:
    with pytest.raises(DriverError) as refusal:
        guarded.execute(statement).fetchall()
    assert forbidden(refusal.value) or "may not be modified" in str(refusal.value)
    assert guarded.in_transaction


def test_every_table_of_the_store_is_known(url: str, path: Path) -> None:
    with closing(open_reader(str(path))) as connection:
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    assert {name for (name,) in rows if not name.startswith("sqlite_")} == guard.OURS
