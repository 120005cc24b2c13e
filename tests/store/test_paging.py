"""How a list goes on, without a database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from subscriber.model import State, Tenant
from subscriber.store import Row, RowFilter, paging
from subscriber.store.paging import DISORDER, LARGEST_PAGE, SCAN_ROWS, Window
from tests.store.making import ACME, OTHER, START, notification

THIRD = Tenant("pelion", "custaa")


def row(seq: int) -> Row:
    return Row(
        seq=seq,
        notification=notification(),
        state=State.PENDING,
        attempts=0,
        not_before=START,
        settled_at=None,
        reason="",
        detail="",
        sinks_done=frozenset(),
    )


def unasked() -> Window | None:
    raise AssertionError("a full page needs no window")


@pytest.mark.parametrize(("limit", "rows"), [(-1, 1), (0, 1), (7, 7), (LARGEST_PAGE + 1, LARGEST_PAGE)])
def test_a_page_has_at_least_one_row_and_at_most_its_limit(limit: int, rows: int) -> None:
    assert paging.bounded(limit) == rows


def test_a_full_page_goes_on_where_it_ended() -> None:
    page = paging.page([row(9), row(7)], 2, RowFilter(), unasked)
    assert (page.next, page.scanned_to) == (7, START)


def test_a_page_that_looked_at_nothing_is_the_end() -> None:
    assert paging.page([], 2, RowFilter(), lambda: None).next is None


@pytest.mark.parametrize(("scanned", "goes_on"), [(SCAN_ROWS, 3), (SCAN_ROWS - 1, None)])
def test_a_short_page_goes_on_below_all_it_looked_at_unless_there_was_no_more(
    scanned: int, goes_on: int | None
) -> None:
    page = paging.page([row(9)], 2, RowFilter(), lambda: Window(scanned, 3, START))
    assert (page.next, page.scanned_to) == (goes_on, START)


@pytest.mark.parametrize(("older_by", "goes_on"), [(DISORDER, 3), (DISORDER + timedelta(milliseconds=1), None)])
def test_looking_ends_when_nothing_below_can_be_young_enough(older_by: timedelta, goes_on: int | None) -> None:
    wanted = RowFilter(since=START + older_by)
    assert paging.page([], 2, wanted, lambda: Window(SCAN_ROWS, 3, START)).next == goes_on


def test_sight_only_narrows() -> None:
    assert paging.narrowed(None, [OTHER, ACME, OTHER]) == [OTHER, ACME]
    assert paging.narrowed([ACME], [OTHER, ACME]) == [ACME]


def test_a_question_is_about_whom_it_names_as_far_as_they_are_in_sight() -> None:
    assert paging.asked(None, None) is None
    assert paging.asked(None, ACME) == [ACME]
    assert paging.asked([ACME, THIRD], None) == [ACME, THIRD]
    assert paging.asked([ACME, THIRD], THIRD) == [THIRD]
    assert paging.asked([ACME, THIRD], OTHER) == []
