"""Counters added up for charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from subscriber.store import Counter
from subscriber.web.console.periods import PERIODS, Period, series, since

NOW = datetime(2026, 3, 1, 12, 34, 30, tzinfo=UTC)
HOUR, DAY, WEEK = PERIODS["1h"], PERIODS["24h"], PERIODS["7d"]


@pytest.mark.parametrize(("period", "bars"), [(HOUR, 60), (DAY, 96), (WEEK, 168)])
def test_bars_cover_the_period_up_to_now(period: Period, bars: int) -> None:
    found = series(period, NOW, [])[Counter.ACCEPTED]
    assert len(found.bars) == bars
    assert found.since <= NOW - period.span + period.bar and found.until == NOW


def test_a_count_is_in_the_bar_of_its_time() -> None:
    counted = [(datetime(2026, 3, 1, 12, minute, tzinfo=UTC), Counter.ACCEPTED, minute) for minute in (0, 33, 34)]
    bars = series(HOUR, NOW, counted)[Counter.ACCEPTED].bars
    assert (bars[-1], bars[-2], bars[-35]) == (34, 33, 0)


def test_a_bar_of_many_minutes_is_a_minutes_share() -> None:
    full = [(datetime(2026, 3, 1, 12, minute, tzinfo=UTC), Counter.DONE, 6) for minute in range(15, 30)]
    assert series(DAY, NOW, full)[Counter.DONE].bars[-2] == 6


def test_the_last_bar_is_divided_by_the_minutes_it_has_had() -> None:
    counted = [(datetime(2026, 3, 1, 12, minute, tzinfo=UTC), Counter.DONE, 10) for minute in range(30, 35)]
    assert series(DAY, NOW, counted)[Counter.DONE].bars[-1] == 10


def test_rows_and_bars_add_up_to_the_same() -> None:
    counted = [(NOW - timedelta(minutes=n), Counter.DEAD, n) for n in range(1, 50)]
    for period in PERIODS.values():
        found = series(period, NOW, counted)[Counter.DEAD]
        assert sum(count for _, count in found.rows) == found.total == sum(range(1, 50))


def test_what_did_not_happen_is_a_row_of_nothing() -> None:
    rows = series(HOUR, NOW, [])[Counter.REFUSED].rows
    assert len(rows) in (12, 13) and {count for _, count in rows} == {0}


def test_what_lies_outside_is_left_out() -> None:
    counted = [(since(HOUR, NOW) - timedelta(minutes=1), Counter.DEAD, 1), (NOW + timedelta(1), Counter.DEAD, 1)]
    assert series(HOUR, NOW, counted)[Counter.DEAD].total == 0
