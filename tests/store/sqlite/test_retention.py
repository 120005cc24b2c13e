"""What forgetting on SQLite adds to the contract: small tables, small steps."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from subscriber.model import Dead, Done
from subscriber.store import Retention, RowFilter, Store, TenantState
from subscriber.store.sqlite import retention
from subscriber.store.sqlite.driver import open_reader, open_writer
from tests.store.making import ACME, START, Clock, lease_all, notification, several

DAY = timedelta(days=1)
KEEP = Retention(horizon=7 * DAY, payload=7 * DAY, dead=90 * DAY, tombstone=7 * DAY)


def count(path: Path, table: str) -> int:
    with closing(open_reader(str(path))) as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(rows)


def test_old_minutes_go_a_day_at_a_time(store: Store, path: Path, clock: Clock) -> None:
    for day in range(3):
        clock.now = START + day * DAY
        store.inbox.add([notification(f"n{day}")])
    clock.now = START + 60 * DAY
    left = []
    for _ in range(3):
        store.inbox.prune(KEEP)
        left.append(count(path, "minutes"))
    assert left == [2, 1, 0]


def test_audit_lines_go_after_a_year(store: Store, path: Path, clock: Clock) -> None:
    store.registry.audit("me", "replay", "")
    clock.advance(days=364)
    store.inbox.prune(KEEP)
    assert count(path, "audit") == 1
    clock.advance(days=2)
    store.inbox.prune(KEEP)
    assert count(path, "audit") == 0


def test_pruning_takes_many_small_steps(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS", 3)
    store.inbox.add(several(10))
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Done())
    clock.advance(days=8)
    assert store.inbox.prune(KEEP).bodies == 10
    assert store.inbox.prune(KEEP).rows == 10


def test_a_row_that_was_replayed_while_pruning_looked_stays(store: Store, path: Path, clock: Clock) -> None:
    store.inbox.add([notification()])
    store.inbox.settle(lease_all(store)[0], Dead("x"))
    (row,) = store.reports.rows(RowFilter(), 1).rows
    clock.advance(days=100)
    store.inbox.replay(ACME, [notification().key])
    sql = f"DELETE FROM inbox WHERE seq IN (SELECT value FROM json_each(:ids)) AND {retention.BURIED}"
    known = retention.cutoffs(KEEP, clock)
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        assert connection.execute(sql, {**known, "ids": f"[{row.seq}]"}).rowcount == 0


def test_replaying_a_long_list_takes_many_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS", 3)
    monkeypatch.setattr(retention, "PAGE_ROWS", 4)
    given = several(10)
    store.inbox.add(given)
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Dead("x"))
    assert store.inbox.replay(ACME, [item.key for item in given[:7]]) == 7
    assert store.inbox.replay_dead(ACME, "x") == 3


def test_the_tombstone_of_an_erasure_that_was_cut_off_waits(store: Store, path: Path, clock: Clock) -> None:
    store.inbox.add([notification()])
    store.registry.put_tenant(ACME, TenantState.GONE)  # as far as an erasure came that was killed
    clock.advance(days=30)
    assert store.inbox.prune(KEEP).tenants == 0
    assert store.inbox.erase(ACME) == 1
    assert store.inbox.prune(KEEP).tenants == 1


def test_finding_what_may_go_costs_nothing_for_what_stays(store: Store, path: Path, clock: Clock) -> None:
    with closing(open_reader(str(path))) as connection:
        known = {**retention.cutoffs(KEEP, clock), "limit": 10}
        for condition, index in (
            (retention.BODIES, "inbox_bodies"),
            (retention.SPENT, "inbox_spent"),
            (retention.BURIED, "inbox_buried"),
        ):
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT seq FROM inbox WHERE {condition} LIMIT :limit", known
            ).fetchall()
            assert f"{index} (settled_at<?)" in plan[0][3]
