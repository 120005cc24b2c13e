"""What the Inbox on SQLite adds to the contract."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from subscriber.errors import StoreUnavailable
from subscriber.model import Done, Notification, Retry, to_millis
from subscriber.store import Store
from subscriber.store.sqlite import inbox, open_store, ordering
from subscriber.store.sqlite.driver import open_reader, open_writer
from subscriber.store.sqlite.lockfile import WriterLock
from tests.store.making import ACME, START, TOPIC, Clock, lease_all, lease_ordered, notification, several
from tests.store.sqlite.test_leasing import steps


def test_a_lease_takes_no_more_rows_than_memory_should_hold(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "LARGEST_LEASE", 5)
    store.inbox.add(several(10))
    assert len(lease_all(store, 100)) == 5


def test_a_lease_of_nothing_does_not_wait_for_the_writers_turn(store: Store, path: Path) -> None:
    with WriterLock(str(path)):
        assert store.inbox.lease([], 10, 30) == []
        assert store.inbox.lease(store.inbox.lanes(), 0, 30) == []


def test_a_probe_writes_unless_something_was_written_just_now(url: str, path: Path, clock: Clock) -> None:
    with closing(open_store(url, clock=clock, patience_seconds=0.2)) as store:
        with closing(open_writer(str(path), lock_wait_seconds=0)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                store.inbox.probe()
            stranger.execute("ROLLBACK")
        store.inbox.add([notification()])
        with WriterLock(str(path)):
            store.inbox.probe()


def test_a_probe_leaves_no_trace_in_heartbeats_of_platforms(store: Store, path: Path, clock: Clock) -> None:
    store.inbox.probe()
    clock.advance(days=30)
    assert store.registry.heartbeat("mindsphere", timedelta(days=4)) is None


@pytest.mark.parametrize("handled", [0, 50])
def test_superseded_costs_the_same_however_much_came_from_the_source(store: Store, path: Path, handled: int) -> None:
    """Whether what is later waits, or was handled."""
    known = (*ACME, "asset-1", TOPIC, to_millis(START + timedelta(hours=20)))
    costs = []
    with closing(open_reader(str(path))) as connection:
        ask = partial(connection.execute, inbox.SUPERSEDED, known)
        for round, size in enumerate((60, 600)):
            store.inbox.add([of_hour(10_000 * round + number) for number in range(size)])
            for attempt in reversed(lease_all(store, handled)):
                store.inbox.settle(attempt, Done())
            costs.append(steps(connection, lambda: ask().fetchall()))
    assert costs[1] <= 1.2 * costs[0]


def of_hour(number: int) -> Notification:
    return notification(f"n{number}", occurred_at=START + timedelta(hours=number))


def test_hints_tell_of_new_notifications_only(store: Store) -> None:
    hints: list[int] = []
    store.inbox.on_arrival(lambda: hints.append(1))
    store.inbox.add([notification()])
    store.inbox.add([notification()])
    store.inbox.settle(lease_all(store)[0], Done())
    store.inbox.probe()
    store.close()
    assert len(hints) == 1


def test_a_callback_that_fails_hinders_nobody(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("not ours")

    store.inbox.on_arrival(fail)
    store.inbox.add([notification()])
    store.inbox.add([notification("two")])
    store.close()
    assert [record.action for record in caplog.records] == ["callback"] * 2  # type: ignore[attr-defined]


def test_a_search_that_takes_more_than_a_lease_may_look_at_goes_on_with_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "LEASE_TURNS", 2)
    monkeypatch.setattr(ordering, "PARKED_AT_ONCE", 10)
    hints: list[int] = []
    store.inbox.add([notification("head")])
    store.inbox.settle(lease_all(store)[0], Retry(START + timedelta(days=1)))
    store.inbox.add(several(100))
    store.inbox.add([notification("other", source="asset-2")])
    store.inbox.on_arrival(lambda: hints.append(1))
    found = []
    while not found:
        found = lease_ordered(store, 4)
    assert found[0].notification.source == "asset-2"
    assert 2 <= len(hints) <= 10


def test_a_settled_row_keeps_nothing_of_its_lease(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    store.inbox.settle(lease_all(store)[0], Done())
    with closing(open_reader(str(path))) as connection:
        assert connection.execute("SELECT lease_until, lease FROM inbox").fetchall() == [(None, 1)]
