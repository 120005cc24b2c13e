"""What the Reports on SQLite cost, and how they page."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from subscriber.model import Dead, Done, State
from subscriber.store import RowFilter, Store, paging
from subscriber.store.sqlite import reports
from subscriber.store.sqlite.driver import open_reader
from tests.store.making import ACME, OTHER, START, Clock, lease_all, notification, several
from tests.store.sqlite.test_leasing import steps


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One page looks at ten rows."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 10)


@pytest.mark.usefixtures("narrow")
def test_a_page_looks_at_a_bounded_number_of_rows_and_says_how_far(store: Store, clock: Clock) -> None:
    store.inbox.add([notification("old", topic="rare")])
    clock.advance(hours=1)
    store.inbox.add([notification(f"n{number}", received_at=clock()) for number in range(15)])
    first = store.reports.rows(RowFilter(topic="rare"), 5)
    assert (first.rows, first.scanned_to) == ([], clock())
    second = store.reports.rows(RowFilter(topic="rare"), 5, first.next)
    assert [row.notification.topic for row in second.rows] == ["rare"]
    assert (second.next, second.scanned_to) == (None, START)


@pytest.mark.usefixtures("narrow")
def test_a_full_page_goes_on_where_it_ended(store: Store) -> None:
    store.inbox.add(several(12))
    page = store.reports.rows(RowFilter(), 4)
    assert page.next == page.rows[-1].seq
    assert page.scanned_to == page.rows[-1].notification.received_at


@pytest.mark.usefixtures("narrow")
def test_looking_ends_when_rows_are_older_than_wanted(store: Store, clock: Clock) -> None:
    store.inbox.add(several(30))
    clock.advance(hours=1)
    page = store.reports.rows(RowFilter(since=clock()), 5)
    assert (page.rows, page.next) == ([], None)


@pytest.mark.usefixtures("narrow")
def test_rows_received_a_little_before_their_neighbours_are_not_missed(store: Store) -> None:
    since = START + timedelta(seconds=40)
    store.inbox.add([notification("late", received_at=since)])
    store.inbox.add(several(15))  # received before it, stored after it
    first = store.reports.rows(RowFilter(since=since), 5)
    assert first.next is not None
    assert len(store.reports.rows(RowFilter(since=since), 5, first.next).rows) == 1


@pytest.mark.usefixtures("narrow")
def test_rows_in_a_rare_state_are_found_without_a_search(store: Store) -> None:
    store.inbox.add([notification("dead", topic="a")])
    store.inbox.settle(lease_all(store)[0], Dead("x"))
    store.inbox.add(several(50))
    for wanted in (RowFilter(state=State.DEAD), RowFilter(state=State.DEAD, tenant=ACME)):
        page = store.reports.rows(wanted, 5)
        assert [row.state for row in page.rows] == [State.DEAD]
        assert page.next is None


@pytest.mark.usefixtures("narrow")
def test_a_tenants_rows_are_found_among_many_of_others(store: Store) -> None:
    store.inbox.add([notification(tenant=OTHER)])
    store.inbox.add(several(50))
    assert len(store.reports.rows(RowFilter(tenant=OTHER), 5).rows) == 1


def test_a_page_has_a_limit_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "LARGEST_PAGE", 3)
    store.inbox.add(several(5))
    assert len(store.reports.rows(RowFilter(), 1_000_000).rows) == 3


def test_counting_costs_nothing_for_rows_that_are_done(store: Store, path: Path) -> None:
    with closing(open_reader(str(path))) as connection:

        def cost() -> int:
            known = {"ids": "[1]"}
            whole = reports.COUNTS.format(ours="true")
            one = reports.COUNTS.format(ours=reports.OURS)
            return steps(connection, lambda: connection.execute(whole).fetchall()) + steps(
                connection, lambda: connection.execute(one, known).fetchall()
            )

        store.inbox.add([notification()])
        store.inbox.settle(lease_all(store)[0], Done())
        before = cost()
        store.inbox.add(several(500))
        for _ in range(5):
            for attempt in lease_all(store, 100):
                store.inbox.settle(attempt, Done())
        assert cost() <= before
    assert store.reports.counts(ACME).done == 501
