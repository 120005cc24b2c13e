"""What keeping an order costs, and that no row is left behind. What it does is in the contract."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from migrations.postgres.migrations import FOLDER
from subscriber.model import Attempt, Dead, Done, Retry, State, to_millis
from subscriber.store import RowFilter, Store
from subscriber.store.cells import PARKED
from subscriber.store.postgres import leasing, ordering
from subscriber.store.postgres.database import Database
from tests.servers.postgres import Server
from tests.store.making import ACME, START, Clock, key, lane, lease_all, lease_ordered, notification, several
from tests.store.postgres.asking import aside, ask
from tests.store.postgres.test_leasing import pages

DAY = timedelta(days=1)
NOW = to_millis(START)


def parked(url: str) -> int:
    return int(ask(url, "SELECT count(*) FROM inbox WHERE not_before >= %s", PARKED)[0][0])


def stuck(store: Store, clock: Clock, count: int) -> Attempt:
    """A source whose first row waits for its next attempt, with so many behind it."""
    store.inbox.add([notification("head")])
    (head,) = lease_ordered(store)
    store.inbox.settle(head, Retry(clock() + DAY))
    store.inbox.add(several(count))
    return head


def test_the_migration_and_the_program_mean_the_same_time() -> None:
    assert str(PARKED) in (FOLDER / "0004_order.sql").read_text()


@pytest.mark.parametrize("over", ["*", lane().topic])
def test_a_backlog_costs_nothing(database: Database, store: Store, url: str, over: str) -> None:
    def cost() -> int:
        ask(url, "ANALYZE inbox")
        known = {"now": NOW, "millis": 1000, "horizon": "9000000", "depth": 8, "limit": 8}
        return pages(database, leasing.TAKE_DUE, {**ordering.asked([lane()], {lane(): [over]}), **known})

    store.inbox.add([notification(f"a{n}", source=f"s{n % 100}") for n in range(200)])
    few = cost()
    store.inbox.add([notification(f"b{n}", source=f"s{n % 100}") for n in range(8000)])
    assert cost() <= few + 100


def test_a_long_backlog_of_one_source_costs_nothing_once_it_was_looked_at(
    server: Server, store: Store, clock: Clock, url: str, database: Database
) -> None:
    stuck(store, clock, 3000)
    for _ in range(4):
        assert lease_ordered(store) == []
    assert parked(url) >= 3000 - ordering.CROWD_ROWS
    server.admin("VACUUM inbox", url.rpartition("/")[2])  # what parking left behind in the indexes
    known = {"now": NOW, "millis": 1000, "horizon": "9000000", "depth": 8, "limit": 8}
    cost = pages(database, leasing.TAKE_DUE, {**ordering.asked([lane()], {lane(): ["*"]}), **known})
    assert cost < 20 * ordering.CROWD_ROWS
    assert pages(database, leasing.LANES, {"now": NOW}) < 100


def test_when_the_head_goes_the_next_one_comes_and_then_all_in_order(store: Store, clock: Clock, url: str) -> None:
    stuck(store, clock, 300)
    while parked(url) < 300 - ordering.CROWD_ROWS:
        assert lease_ordered(store) == []
    clock.advance(days=1)
    order = []
    while attempts := lease_ordered(store):
        (attempt,) = attempts
        order.append(attempt.notification.key)
        store.inbox.settle(attempt, random.Random(len(order)).choice([Done(), Dead("x")]))
    assert order == [key(name) for name in ("head", *(f"n{number}" for number in range(300)))]


def test_few_rows_are_left_where_they_are(store: Store, clock: Clock, url: str) -> None:
    stuck(store, clock, ordering.CROWD_ROWS - 1)
    assert lease_ordered(store) == []
    assert parked(url) == 0


def test_readers_are_told_when_a_parked_row_was_due(store: Store, clock: Clock, url: str) -> None:
    stuck(store, clock, 100)
    lease_ordered(store)
    assert parked(url) == 100
    rows = store.reports.rows(RowFilter(state=State.PENDING), 200).rows
    assert {row.not_before for row in rows} == {START, START + DAY}
    assert store.reports.oldest_pending() == START


def test_a_row_that_is_deleted_lets_the_next_one_go(store: Store, clock: Clock, url: str) -> None:
    head = stuck(store, clock, 100)
    lease_ordered(store)
    ask(url, "DELETE FROM inbox WHERE seq = %s", head.seq)
    assert [attempt.notification.key for attempt in lease_ordered(store)] == [key("n0")]


def test_what_is_parked_while_its_blocker_ends_is_not_left_behind(store: Store, clock: Clock, url: str) -> None:
    """The end waits for who parks, and then sees what was parked."""
    head = stuck(store, clock, 100)
    clock.advance(days=1)
    (again,) = store.inbox.lease([lane()], 1, 30) or [head]
    with aside(url) as parking:
        ordering.park(parking, [lane()], {lane(): ["*"]}, NOW)
        settled = ThreadPoolExecutor(1).submit(store.inbox.settle, again, Done())
        assert not settled.done()
        parking.commit()
        assert settled.result(10) is True
    assert [attempt.notification.key for attempt in lease_ordered(store)] == [key("n0")] or parked(url) < 100


def test_nothing_is_parked_behind_a_row_that_is_just_ending(store: Store, clock: Clock, url: str) -> None:
    head = stuck(store, clock, 100)
    with aside(url) as ending:
        ending.execute("SELECT 1 FROM inbox WHERE seq = %s FOR UPDATE", (head.seq,))
        with aside(url) as parking:
            # The first of those behind is taken for the next ones' blocker: it is unsettled and comes before them.
            assert ordering.park(parking, [lane()], {lane(): ["*"]}, NOW) == 99
            parking.rollback()


def test_many_processes_keep_the_order_and_lose_nothing(url: str, store: Store) -> None:
    """Sources are handled one by one in order, while rows are added, retried, parked and ended by several at once."""
    sources, each = 5, 60
    names = [[f"{source}-{number}" for number in range(each)] for source in range(sources)]
    for number in range(each):
        store.inbox.add([notification(names[source][number], source=f"s{source}") for source in range(sources)])
    handled: dict[str, list[bytes]] = {}
    running: set[str] = set()
    guard = threading.Lock()
    wrong: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        with closing(Clocked(url)) as clocked:
            another = clocked.store
            while sum(map(len, handled.values())) < sources * each and not wrong:
                for attempt in lease_ordered(another, chance.choice([1, 3, 20])):
                    source = attempt.notification.source
                    with guard:
                        wrong.extend([f"two of {source}"] if source in running else [])
                        running.add(source)
                    decision = chance.choice([Done(), Done(), Dead("x"), Retry(START)])
                    with guard:
                        running.discard(source)
                        if not isinstance(decision, Retry):
                            handled.setdefault(source, []).append(attempt.notification.key)
                    another.inbox.settle(attempt, decision)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    assert wrong == []
    assert handled == {f"s{source}": [key(name) for name in names[source]] for source in range(sources)}


class Clocked:
    """Another process's store, on the same clock."""

    def __init__(self, url: str) -> None:
        from subscriber.store.postgres import open_store

        self.store = open_store(url, clock=Clock())

    def close(self) -> None:
        self.store.close()


def test_rows_parked_under_an_order_are_leased_without_one(store: Store, clock: Clock, url: str) -> None:
    stuck(store, clock, 200)
    lease_ordered(store)
    assert parked(url) == 200
    assert store.inbox.lanes() == [lane()]
    assert len(lease_all(store, 250)) == 200
    assert store.reports.counts(ACME).running == 200
