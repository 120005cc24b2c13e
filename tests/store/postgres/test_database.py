"""Connections that are lent: to whom, for how long, and what they see."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from psycopg import errors

from subscriber.errors import SchemaOutdated, StoreBusy, StoreUnavailable
from subscriber.model import to_millis
from subscriber.store.postgres import database as module
from subscriber.store.postgres.database import Database
from tests.servers.postgres import Server
from tests.store.making import START, Clock
from tests.store.postgres.asking import ask

TENANT = "INSERT INTO tenants (platform, name, state, since) VALUES ('p', %s, 'active', 0) RETURNING id"


def test_a_block_is_a_transaction(database: Database, url: str) -> None:
    with database.service() as connection:
        connection.execute(TENANT, ("kept",))
    with pytest.raises(KeyError), database.service() as connection:
        connection.execute(TENANT, ("undone",))
        raise KeyError
    assert ask(url, "SELECT name FROM tenants") == [("kept",)]


def test_errors_are_told_in_our_words(database: Database) -> None:
    with pytest.raises(SchemaOutdated) as raised, database.service() as connection:
        connection.execute("SELECT * FROM nowhere")
    assert isinstance(raised.value.__cause__, errors.UndefinedTable)


def test_a_reader_sees_the_tenants_it_names_and_writes_nothing(database: Database) -> None:
    with database.service() as connection:
        ids = [connection.execute(TENANT, (name,)).fetchall()[0][0] for name in "abc"]
    with database.reader(ids[:2]) as connection:
        assert connection.execute("SELECT name FROM tenants ORDER BY name").fetchall() == [("a",), ("b",)]
        with pytest.raises(errors.ReadOnlySqlTransaction), connection.transaction():
            connection.execute("UPDATE tenants SET since = 1")
    with database.reader([]) as connection:  # on the same connection, and nothing is left of what it named
        assert connection.execute("SELECT name FROM tenants").fetchall() == []


def test_the_clock_is_the_databases_unless_one_was_given(database: Database, url: str, clock: Clock) -> None:
    with database.service() as connection:
        assert database.now(connection) == to_millis(START)
    with closing(Database(url)) as another, another.service() as connection:
        ((theirs,),) = connection.execute("SELECT extract(epoch FROM now()) * 1000").fetchall()
        assert 0 <= another.now(connection) - int(theirs) < 10_000


def test_who_gets_no_connection_in_time_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVICE_CONNECTIONS", 1)
    with closing(Database(url, patience_seconds=0.1)) as database, database.service():
        with pytest.raises(StoreBusy), database.service():
            pytest.fail("there was one more")


def test_ended_sessions_are_replaced_before_anybody_gets_one(server: Server, database: Database, url: str) -> None:
    for _ in range(3):
        with database.service() as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        server.terminate(url)


def test_a_closed_database_lends_nothing(database: Database) -> None:
    database.close()
    with pytest.raises(StoreUnavailable), database.service():
        pytest.fail("it lent a connection")


def test_a_child_process_makes_connections_of_its_own(database: Database) -> None:
    def backend() -> int:
        with database.service() as connection:
            ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
            return int(pid)

    before = backend()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if backend() != before else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert backend() == before
