"""What forgetting on PostgreSQL adds to the contract: it waits for nobody, and nobody for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from subscriber.model import Dead, Done
from subscriber.store import RowFilter, Store, TenantState
from subscriber.store.postgres import retention
from subscriber.store.postgres.database import Database
from tests.store.contract import DAY, KEEP
from tests.store.making import ACME, START, Clock, lease_all, notification, several
from tests.store.postgres.asking import aside, ask, fill, plan


def count(url: str, table: str) -> int:
    ((rows,),) = ask(url, f"SELECT count(*) FROM {table}")
    return int(rows)


def settle_all(store: Store) -> None:
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Done())


def test_old_minutes_go_a_day_at_a_time(store: Store, url: str, clock: Clock) -> None:
    for day in range(3):
        clock.now = START + day * DAY
        store.inbox.add([notification(f"n{day}")])
    clock.now = START + 60 * DAY
    left = []
    for _ in range(3):
        store.inbox.prune(KEEP)
        left.append(count(url, "minutes"))
    assert left == [2, 1, 0]


def test_audit_lines_go_after_a_year(store: Store, url: str, clock: Clock) -> None:
    store.registry.audit("me", "replay", "")
    clock.advance(days=364)
    store.inbox.prune(KEEP)
    assert count(url, "audit") == 1
    clock.advance(days=2)
    store.inbox.prune(KEEP)
    assert count(url, "audit") == 0


def test_pruning_takes_many_small_steps(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS", 3)
    store.inbox.add(several(10))
    settle_all(store)
    clock.advance(days=8)
    assert store.inbox.prune(KEEP).bodies == 10
    assert store.inbox.prune(KEEP).rows == 10


def test_a_row_in_somebodys_hands_is_passed_over(store: Store, url: str, clock: Clock) -> None:
    store.inbox.add(several(5))
    settle_all(store)
    clock.advance(days=8)
    store.inbox.prune(KEEP)
    with aside(url) as busy:
        busy.execute("SELECT 1 FROM inbox ORDER BY seq LIMIT 1 FOR UPDATE")
        assert store.inbox.prune(KEEP).rows == 4
    assert store.inbox.prune(KEEP).rows == 1


def test_a_row_that_was_replayed_while_pruning_looked_stays(store: Store, database: Database, clock: Clock) -> None:
    store.inbox.add(several(2))
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Dead("x"))
    rows = store.reports.rows(RowFilter(), 2).rows
    clock.advance(days=100)
    with database.service() as connection:
        sweep = retention.Sweep(database, retention._cutoffs(KEEP, database.now(connection)))
    store.inbox.replay(ACME, [rows[0].notification.key])
    free = retention.FREE.format(table="inbox", id="seq", condition=retention.BURIED)
    gone = sweep._step(f"DELETE FROM inbox WHERE seq = ANY (ARRAY ({free}))", [row.seq for row in rows])
    assert gone == 1
    assert [row.seq for row in store.reports.rows(RowFilter(), 2).rows] == [rows[0].seq]


def test_many_may_prune_at_once(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS", 10)
    store.inbox.add(several(100))
    settle_all(store)
    clock.advance(days=8)
    with ThreadPoolExecutor(4) as threads:
        bodies = sum(threads.map(lambda _: store.inbox.prune(KEEP).bodies, range(4)))
    assert bodies == 100


def test_accepting_goes_on_while_a_step_is_not_committed(store: Store, url: str, clock: Clock) -> None:
    store.inbox.add(several(5))
    settle_all(store)
    with aside(url) as pruning:
        pruning.execute("DELETE FROM inbox")
        assert len(store.inbox.add(several(5, prefix="new"))) == 5


def test_the_tombstone_of_an_erasure_that_was_cut_off_waits(store: Store, clock: Clock) -> None:
    store.inbox.add([notification()])
    store.registry.put_tenant(ACME, TenantState.GONE)  # as far as an erasure came that was killed
    clock.advance(days=30)
    assert store.inbox.prune(KEEP).tenants == 0
    assert store.inbox.erase(ACME) == 1
    assert store.inbox.prune(KEEP).tenants == 1


@pytest.mark.parametrize(
    ("condition", "index"), [(retention.BODIES, "inbox_bodies"), (retention.SPENT, "inbox_spent")]
)
def test_finding_what_may_go_costs_nothing_for_what_stays(
    url: str, database: Database, condition: str, index: str
) -> None:
    fill(url, 20_000)
    known = {"payload": 500, "horizon": 500, "dead": 500, "limit": 10}
    with database.service() as connection:
        found = plan(
            connection, f"SELECT seq FROM inbox WHERE {condition} ORDER BY settled_at LIMIT %(limit)s", known
        )
    assert f"{index} on inbox" in found or f"on {index}" in found
    assert "Seq Scan on inbox" not in found


def test_ages_are_counted_back_from_now() -> None:
    cutoffs = retention._cutoffs(KEEP, 10**12)
    assert cutoffs["horizon"] == 10**12 - timedelta(days=7) // timedelta(milliseconds=1)
    assert cutoffs["dead"] == 10**12 - timedelta(days=90) // timedelta(milliseconds=1)
