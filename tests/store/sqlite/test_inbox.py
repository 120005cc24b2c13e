"""What the Inbox on SQLite adds to the contract."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from subscriber.errors import StoreUnavailable
from subscriber.model import Done
from subscriber.store import Store
from subscriber.store.sqlite import inbox, open_store
from subscriber.store.sqlite.driver import open_reader, open_writer
from subscriber.store.sqlite.lockfile import WriterLock
from tests.store.making import START, Clock, lease_all, notification, several


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


def test_superseded_looks_only_at_what_is_later(store: Store, path: Path) -> None:
    """However much came from the source before."""
    store.inbox.add([notification(f"n{number}", occurred_at=START) for number in range(100)])
    with closing(open_reader(str(path))) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {inbox.SUPERSEDED}", ("mindsphere", "custaa", "asset-1", "t", 0)
        ).fetchall()
    text = "\n".join(row[3] for row in plan)
    assert "inbox_source_new (tenant_id=? AND source=? AND occurred_at>?)" in text
    assert "inbox_source_old (tenant_id=? AND source=? AND occurred_at>?)" in text


def test_a_settled_row_keeps_nothing_of_its_lease(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    store.inbox.settle(lease_all(store)[0], Done())
    with closing(open_reader(str(path))) as connection:
        assert connection.execute("SELECT lease_until, lease FROM inbox").fetchall() == [(None, 1)]
