"""Facts and channels on SQLite, beside the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.errors import StoreUnavailable
from subscriber.store import ChannelFact, Store
from subscriber.store.sqlite.channels import CHANNELS, FACT, keep_facts
from subscriber.store.sqlite.driver import Connection, open_writer
from subscriber.store.sqlite.transaction import NOBODY, Transaction
from tests.store.making import ACME, OTHER, channel, fact, notification


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        yield connection


def written(connection: Connection, *facts: ChannelFact) -> list[str]:
    """The statements that keep these."""
    connection.execute(
        "INSERT OR IGNORE INTO tenants (id, platform, name, state, since) VALUES (1, 'p', 'n', 'active', 0)"
    )
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    keep_facts(Transaction(connection, 0), {ACME: 1, OTHER: NOBODY}, facts)
    connection.set_trace_callback(None)
    return statements


def test_of_one_place_only_the_last_value_is_written(connection: Connection) -> None:
    assert len(written(connection, *(fact(bytes([number])) for number in range(5)))) == 1
    assert connection.execute("SELECT value FROM channel_facts").fetchall() == [(b"\x04",)]


def test_nothing_is_written_for_nobody(connection: Connection) -> None:
    assert written(connection, fact(tenant=OTHER)) == []


def test_a_fact_is_found_by_its_key(connection: Connection) -> None:
    steps = connection.execute(f"EXPLAIN QUERY PLAN {FACT}", (*ACME, "c", "")).fetchall()
    assert [step for *_, step in steps if "SCAN" in step] == []
    assert "SCAN" in str(connection.execute(f"EXPLAIN QUERY PLAN {CHANNELS}", (None,)).fetchall())  # it would be told


def test_an_older_program_that_forgets_a_tenant_takes_its_channels_along(
    store: Store, connection: Connection
) -> None:
    """The statements of the program before migration 0005."""
    store.inbox.add([], facts=[fact()])
    store.registry.put_channels([channel()])
    for table in ("totals", "minutes", "subscriptions", "gaps"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DELETE FROM tenants")
    assert connection.execute("SELECT 1 FROM channel_facts UNION ALL SELECT 1 FROM channels").fetchall() == []


def test_a_channel_in_a_state_that_there_is_not_is_refused(store: Store) -> None:
    with pytest.raises(StoreUnavailable) as refusal:
        store.registry.put_channels([channel(), channel("odd", state="odd")])
    assert refusal.value.reason == "unstorable"
    assert store.registry.channels() == []


def test_an_erased_fact_is_in_no_file_any_more(store: Store, path: Path) -> None:
    store.inbox.add([notification()], facts=[fact(b"a very secret memory" * 500)])
    store.inbox.erase(ACME)
    store.close()
    assert [file.name for file in path.parent.iterdir() if b"very secret" in file.read_bytes()] == []
