"""What keeping an order costs, and that the schema leaves no row behind. What it does is in the contract.

Cost is counted in steps of SQLite's virtual machine: the same on every machine, however busy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

import migrations
from migrations.sqlite import migrations as sqlite
from subscriber.model import Dead, Done, Lane, Retry, to_millis
from subscriber.store import Store
from subscriber.store.cells import PARKED
from subscriber.store.sqlite import leasing, open_store
from subscriber.store.sqlite.driver import Connection, open_reader, open_writer
from subscriber.store.sqlite.transaction import Transaction
from tests.store.making import (
    ACME,
    OTHER,
    START,
    TOPIC,
    Clock,
    key,
    lane,
    lease_all,
    lease_ordered,
    notification,
    several,
)
from tests.store.sqlite.test_leasing import steps

NOW = to_millis(START)


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        yield connection


def lease(connection: Connection, limit: int = 8, over: Sequence[str] = ("*",), lanes: Sequence[Lane] = ()) -> None:
    lanes = lanes or [lane()]
    leasing.lease(lanes, limit, 30, dict.fromkeys(lanes, over), Transaction(connection, NOW))


def parked(path: Path) -> int:
    with closing(open_reader(str(path))) as connection:
        return int(connection.execute(f"SELECT count(*) FROM inbox WHERE not_before >= {PARKED}").fetchone()[0])


def test_the_migration_and_the_program_mean_the_same_time() -> None:
    assert sqlite.PARKED == PARKED


@pytest.mark.parametrize("over", ["*", TOPIC])
def test_the_backlog_costs_nothing(store: Store, connection: Connection, over: str) -> None:
    costs = []
    for round, size in enumerate((50, 3_000)):
        store.inbox.add([notification(f"{round}-{number}", source=f"s{number}") for number in range(size)])
        costs.append(steps(connection, lambda: lease(connection, over=[over])))
    assert costs[1] <= 1.2 * costs[0]


def test_a_long_backlog_of_one_source_costs_nothing_once_it_was_looked_at(
    store: Store, connection: Connection, path: Path
) -> None:
    store.inbox.add([notification("head")])
    store.inbox.settle(lease_all(store)[0], Retry(START + timedelta(days=1)))
    costs = []
    for round, size in enumerate((40, 4_000)):
        store.inbox.add(several(size, prefix=f"{round}-"))
        assert lease_ordered(store, 8) == []
        costs.append(steps(connection, lambda: lease(connection)))
    assert parked(path) == 4_040
    assert costs[1] <= 1.2 * costs[0]


def test_settling_costs_the_same_however_many_wait_behind(store: Store, connection: Connection, path: Path) -> None:
    costs = []
    for tenant, size in ((ACME, 50), (OTHER, 3_000)):
        store.inbox.add(several(size, tenant=tenant))
        (head,) = lease_ordered(store, 8)
        assert lease_ordered(store, 8) == []
        end = partial(leasing.settle, head, Done(), frozenset(), Transaction(connection, NOW))
        costs.append(steps(connection, end))
        connection.execute("UPDATE inbox SET state = 'done' WHERE state = 'pending' AND not_before = ?", (NOW,))
    assert costs[1] <= 1.2 * costs[0]


def test_one_source_among_many_is_told_from_the_others_without_reading_its_other_topics(
    store: Store, connection: Connection
) -> None:
    costs = []
    for round, size in enumerate((20, 2_000)):
        store.inbox.add([notification(f"{round}-{number}", topic="a") for number in range(size)])
        store.inbox.add([notification(f"last {round}", topic="b")])
        costs.append(steps(connection, lambda: lease(connection, lanes=[lane(topic="b")], over=["b"])))
        connection.execute("DELETE FROM inbox WHERE topic = 'b'")
    assert costs[1] <= 1.2 * costs[0]


def test_rows_are_not_parked_while_enough_others_are_free(store: Store, path: Path) -> None:
    store.inbox.add([notification(f"{number}", source=f"s{number % 10}") for number in range(200)])
    assert len(lease_ordered(store, 16)) == 10
    assert parked(path) == 0


def test_rows_that_wait_for_each_other_over_topics_all_get_their_turn(store: Store, path: Path) -> None:
    topics = ["t1", "t2", "t3"]
    store.inbox.add([notification(f"{number}", topic=topics[number % 3]) for number in range(90)])
    handled = []
    while attempts := lease_ordered(store, 3):
        (attempt,) = attempts
        handled.append(attempt.seq)
        store.inbox.settle(attempt, Done() if attempt.seq % 5 else Dead("x"))
    assert handled == sorted(handled) and len(handled) == 90
    assert parked(path) == 0


def test_an_older_program_that_ends_a_row_lets_the_next_one_go(
    store: Store, connection: Connection, path: Path, clock: Clock
) -> None:
    """The statement of the program before migration 0004."""
    store.inbox.add(several(40))
    (head,) = lease_ordered(store, 8)
    assert lease_ordered(store, 8) == []
    waiting = parked(path)
    connection.execute(
        "UPDATE inbox SET state = 'done', lease_until = NULL, settled_at = ?, reason = '', detail = '', "
        "sinks_done = '' WHERE seq = ? AND lease = ? AND state = 'running'",
        (NOW, head.seq, head.lease),
    )
    assert parked(path) == waiting - 1
    assert [attempt.notification.key for attempt in lease_ordered(store, 8)] == [key("n1")]


def test_a_row_that_is_deleted_lets_the_next_one_go(store: Store, connection: Connection, path: Path) -> None:
    store.inbox.add(several(40))
    (head,) = lease_ordered(store, 8)
    assert lease_ordered(store, 8) == []
    connection.execute("DELETE FROM inbox WHERE seq = ?", (head.seq,))
    assert [attempt.notification.key for attempt in lease_ordered(store, 8)] == [key("n1")]


def test_what_was_stored_before_the_migration_keeps_its_order(tmp_path: Path, clock: Clock) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    migrations.apply(url)
    with closing(open_writer(f"{tmp_path}/store.db", lock_wait_seconds=0)) as connection:
        undo(connection)
    with closing(open_store_of_before(url, clock)) as store:
        store.inbox.add(several(3))
    assert migrations.apply(url) == ["0004_order"]
    with closing(open_store(url, clock=clock)) as store:
        for name in ("n0", "n1", "n2"):
            (attempt,) = lease_ordered(store)
            assert attempt.notification.key == key(name)
            store.inbox.settle(attempt, Done())
        assert store.reports.counts(ACME).done == 3
        assert all(finding.ok for finding in store.inbox.check() if finding.name != "room")


def undo(connection: Connection) -> None:
    """As it was after migration 0003."""
    for kind, name in (("TRIGGER", "inbox_settled"), ("TRIGGER", "inbox_dropped"), ("INDEX", "inbox_parked")):
        connection.execute(f"DROP {kind} {name}")
    for name in ("inbox_source_new", "inbox_source_running"):
        connection.execute(f"DROP INDEX {name}")
    connection.execute(
        "CREATE INDEX inbox_source_new ON inbox (tenant_id, source, occurred_at) "
        "WHERE source <> '' AND state = 'pending'"
    )
    connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0004_order'")


def open_store_of_before(url: str, clock: Clock) -> Store:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("subscriber.store.sqlite.checks.EXPECTED_MIGRATION", "0003_credentials")
        return open_store(url, clock=clock)
