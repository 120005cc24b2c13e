"""Erasing on PostgreSQL: nothing slips in behind it, and nobody else waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import pytest

from subscriber.model import Done, Outcome
from subscriber.store import Store
from subscriber.store.postgres import erasing
from subscriber.store.postgres.tenants import tenant_ids
from tests.store.making import ACME, OTHER, lease_all, notification, several
from tests.store.postgres.asking import aside, ask


def test_erasing_takes_many_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "STEP_ROWS", 3)
    store.inbox.add(several(10))
    assert store.inbox.erase(ACME) == 10


def test_erasing_waits_for_those_who_write_the_tenants_rows_now(store: Store, url: str) -> None:
    store.inbox.add([notification()])
    with aside(url) as writing, ThreadPoolExecutor(1) as threads:
        tenant_ids(writing, 0, [ACME])
        going = threads.submit(store.inbox.erase, ACME)
        with pytest.raises(NotYet):
            going.result(0.2)
        writing.execute("UPDATE inbox SET key = 'late'")
        writing.commit()
        assert going.result(5) == 1
    assert ask(url, "SELECT 1 FROM inbox") == []


def test_nothing_slips_in_behind_an_erasure(store: Store, url: str) -> None:
    store.inbox.add(several(20, prefix="before"))
    stop = threading.Event()

    def add(prefix: str) -> list[Outcome]:
        outcomes, number = [], 0
        while not stop.is_set():
            number += 1
            (receipt,) = store.inbox.add([notification(f"{prefix}{number}")])
            outcomes.append(receipt.outcome)
        return outcomes

    with ThreadPoolExecutor(4) as threads:
        adding = [threads.submit(add, prefix) for prefix in "abc"]
        erased = store.inbox.erase(ACME)
        stop.set()
        outcomes = [outcome for future in adding for outcome in future.result()]
    assert erased == 20 + outcomes.count(Outcome.NEW)
    assert ask(url, "SELECT 1 FROM inbox") == []


def test_others_are_accepted_while_a_step_is_not_committed(store: Store, url: str) -> None:
    store.inbox.add(several(3) + several(3, tenant=OTHER))
    with aside(url) as erasure:
        erasure.execute(erasing.LAST_WRITER_DONE, ACME)
        erasure.execute("DELETE FROM inbox WHERE tenant_id = (SELECT id FROM tenants WHERE name = %s)", (ACME.name,))
        receipts = store.inbox.add(several(3, prefix="new", tenant=OTHER))
        assert [receipt.outcome for receipt in receipts] == [Outcome.NEW] * 3


def test_two_erasures_at_once_take_every_row_once(store: Store) -> None:
    store.inbox.add(several(50))
    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(store.inbox.erase, [ACME, ACME])) == 50


def test_totals_of_several_writers_become_nobodys(store: Store, url: str) -> None:
    store.inbox.add(several(6))
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Done())
    ask(url, "INSERT INTO totals SELECT tenant_id, event, writer + 100, 5 FROM totals")
    done = store.reports.counts().done
    assert done == 6 + 5 * len(ask(url, "SELECT 1 FROM totals WHERE event = 'done' AND writer >= 100"))
    store.inbox.erase(ACME)
    assert store.reports.counts().done == done
    assert ask(url, "SELECT DISTINCT tenant_id FROM totals") == [(0,)]
