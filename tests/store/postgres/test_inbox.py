"""The Inbox on PostgreSQL where it is more than a door to its parts."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest

from subscriber.errors import SchemaOutdated, StoreUnavailable
from subscriber.model import Done
from subscriber.store import Store, open_store
from subscriber.store.postgres import leasing
from tests.servers.postgres import Server
from tests.store.making import START, Clock, lane, lease_all, notification, several
from tests.store.postgres.asking import ask


def test_a_lease_takes_no_more_rows_than_memory_should_hold(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "LARGEST_LEASE", 3)
    store.inbox.add(several(10))
    assert len(lease_all(store)) == 3


def test_a_probe_writes_unless_something_was_written_just_now(url: str, clock: Clock) -> None:
    with closing(open_store(url, clock=clock)) as store:
        store.inbox.probe()
        assert ask(url, "SELECT platform FROM heartbeats") == [("",)]
        store.inbox.add([notification()])
        ask(url, "DROP TABLE heartbeats")
        store.inbox.probe()


def test_superseded_is_found_by_looking_at_the_newest_first(store: Store) -> None:
    old = notification("old")
    store.inbox.add([old, *(notification(f"n{n}", occurred_at=START + timedelta(seconds=n)) for n in range(2000))])
    assert store.inbox.superseded(old) is True


def test_opening_takes_one_connection_and_gives_it_back(server: Server, url: str) -> None:
    with closing(open_store(url)):
        name = url.rpartition("/")[2]
        assert server.admin(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'") == [(0,)]


def test_a_store_without_its_schema_or_its_server_is_refused(server: Server) -> None:
    with pytest.raises(SchemaOutdated, match="python -m subscriber migrate"):
        open_store(server.empty())
    with pytest.raises(StoreUnavailable):
        open_store("postgresql://app@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        open_store(server.url("nowhere").replace("postgresql://", "postgres://"))


def test_processes_lease_beside_each_other_without_waiting(url: str, store: Store, clock: Clock) -> None:
    store.inbox.add(several(10))
    with closing(open_store(url, clock=clock)) as another:
        first, second = store.inbox.lease([lane()], 5, 30), another.inbox.lease([lane()], 100, 30)
        assert [len(first), len(second)] == [5, 5]
        assert another.inbox.settle(first[0], Done()) is True
