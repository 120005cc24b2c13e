"""What choosing and settling rows costs. What they do is in the contract.

Cost is counted in steps of SQLite's virtual machine: the same on every machine, however busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from subscriber.model import Done, Lane, Retry, to_millis
from subscriber.store import Store
from subscriber.store.sqlite import leasing
from subscriber.store.sqlite.driver import Connection, open_writer
from subscriber.store.sqlite.transaction import Transaction
from tests.store.making import ACME, START, TOPIC, Clock, key, lane, lease_all, lease_ordered, notification, several

NOW = to_millis(START)


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        yield connection


def steps(connection: Connection, work: Callable[[], object]) -> int:
    """Machine instructions that the work's statements take."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection.set_progress_handler(count, 1)
    work()
    connection.set_progress_handler(None, 1)
    return taken


def lanes_of(connection: Connection) -> list[tuple[str, str, str]]:
    return connection.execute(leasing.LANES, {"now": NOW}).fetchall()


def lease(connection: Connection, lanes: list[Lane], limit: int) -> None:
    leasing.lease(lanes, limit, 30, {}, Transaction(connection, NOW))


@pytest.mark.parametrize(
    "work",
    [
        lanes_of,
        lambda connection: connection.execute(leasing.OLDEST, {"now": NOW}).fetchall(),
        partial(lease, lanes=[lane(), lane(topic="t2")], limit=8),
        partial(lease, lanes=[lane(), lane(topic="t2")], limit=2),
    ],
    ids=["lanes", "oldest", "lease from few lanes", "lease from enough lanes"],
)
def test_the_backlog_costs_nothing(
    store: Store, connection: Connection, work: Callable[[Connection], object]
) -> None:
    costs = []
    for round, size in enumerate((50, 3_000)):
        store.inbox.add(several(size, prefix=f"a{round}-"))
        store.inbox.add(several(size, prefix=f"b{round}-", topic="t2"))
        costs.append(steps(connection, partial(work, connection)))
    assert costs[1] <= 1.2 * costs[0]


def test_looking_ends_when_enough_lanes_had_work(store: Store, connection: Connection) -> None:
    store.inbox.add([notification(f"n{number}", topic=f"t{number}") for number in range(400)])
    many = [lane(topic=f"t{number}") for number in range(400)]
    few = steps(connection, partial(lease, connection, many[:10], 4))
    assert steps(connection, partial(lease, connection, many, 4)) <= 1.2 * few


def test_handled_rows_cost_nothing(store: Store, connection: Connection) -> None:
    store.inbox.add([notification()])
    before = steps(connection, lambda: lanes_of(connection))
    store.inbox.add(several(1_000))
    for _ in range(10):
        for attempt in lease_all(store, 200):
            store.inbox.settle(attempt, Done())
    store.inbox.add([notification("last")])
    assert steps(connection, lambda: lanes_of(connection)) <= before


def test_a_lane_of_rows_that_wait_for_others_is_listed_and_ages(store: Store, clock: Clock) -> None:
    """An order may end any time, and what waits for its turn waits all the same."""
    store.inbox.add(several(40))
    (head,) = lease_ordered(store)
    assert lease_ordered(store) == []
    store.inbox.settle(head, Retry(START + timedelta(days=1)))
    clock.advance(minutes=1)
    assert store.inbox.lanes() == [lane()]
    assert store.reports.oldest_pending() == START
    row = store.reports.row(ACME, key("n39"))
    assert row is not None and row.not_before == START
    assert store.reports.counts().pending == 40


def test_a_retry_in_a_time_without_end_is_one_in_the_far_future(store: Store, clock: Clock) -> None:
    store.inbox.add([notification()])
    store.inbox.settle(lease_all(store)[0], Retry(datetime.max.replace(tzinfo=UTC)))
    clock.advance(days=365 * 6000)
    assert store.inbox.lanes() == []


def test_every_lane_is_found_once(store: Store, connection: Connection) -> None:
    topics = [TOPIC, "", "a", "b", "\uffff", "z" * 255]
    store.inbox.add([notification(f"{topic}-{number}", topic=topic) for topic in topics for number in range(3)])
    assert sorted(topic for _, _, topic in lanes_of(connection)) == sorted(topics)
