"""Possible gaps: when they begin and end, and that none is told twice, swallowed or made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from subscriber.channels.coverage import GRAIN_MILLIS, MOST_UNTOLD, ON_ITS_WAY, Coverage, Loss
from subscriber.errors import PlatformUnavailable
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import ANSWER_LOST, SESSION_LOST, Turn

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GRAIN = timedelta(milliseconds=GRAIN_MILLIS)
GOOD = Turn(state=State.CONNECT, rows=(), unreadable=(), covered=True)
BETWEEN = Turn(state=State.SUBSCRIBE, rows=(), unreadable=())
AWAY = Turn(state=State.CONNECT, rows=(), unreadable=(), covered=True, failure=PlatformUnavailable("away"))
LOST_ANSWER = Turn(state=State.CONNECT, rows=(), unreadable=(), covered=True, gap=ANSWER_LOST)
LOST_SESSION = Turn(state=State.HANDSHAKE, rows=(), unreadable=(), gap=SESSION_LOST)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def since(minutes: float) -> datetime:
    """When a gap begins after an answer at that time."""
    return at(minutes) - ON_ITS_WAY


def after(*turns: tuple[float, Turn]) -> Coverage:
    coverage = Coverage()
    for minutes, turn in turns:
        coverage.note(turn, at(minutes))
    return coverage


def test_good_answers_are_no_gap() -> None:
    assert after((0, BETWEEN), (1, GOOD), (90, AWAY), (91, GOOD)).untold == ()


def test_a_lost_session_is_a_gap_from_the_last_good_answer_until_the_next_one_covers_us() -> None:
    coverage = after((0, GOOD), (10, GOOD), (20, LOST_SESSION), (21, BETWEEN))
    assert coverage.open and coverage.untold == ()
    coverage.note(GOOD, at(22))
    assert coverage.untold == (Loss(SESSION_LOST, since(10), at(22)),) and not coverage.open


def test_a_lost_answer_is_a_gap_until_it_was_lost() -> None:
    coverage = after((0, GOOD), (10, LOST_ANSWER), (15, AWAY), (20, GOOD))
    assert coverage.untold == (Loss(ANSWER_LOST, since(0), at(10)),)


def test_what_is_lost_one_after_another_is_one_gap() -> None:
    coverage = after((0, GOOD), (10, LOST_ANSWER), (20, LOST_ANSWER), (30, GOOD))
    assert coverage.untold == (Loss(ANSWER_LOST, since(0), at(20)),)
    coverage = after((0, GOOD), (10, LOST_ANSWER), (20, LOST_SESSION), (30, LOST_ANSWER), (40, GOOD))
    assert coverage.untold == (Loss(SESSION_LOST, since(0), at(40)),)


def test_before_anything_was_covered_nothing_is_lost() -> None:
    assert after((0, LOST_SESSION), (1, LOST_ANSWER), (2, GOOD)).untold == ()
    coverage = Coverage()
    coverage.resume(at(0), lost=True)
    assert not coverage.open and coverage.value == b""


def test_a_gap_is_kept_until_it_is_told() -> None:
    coverage = after((0, GOOD), (1, LOST_SESSION), (2, GOOD))
    again = Coverage(coverage.value)
    assert again.untold == coverage.untold
    (loss,) = again.untold
    again.told(loss)
    assert Coverage(again.value).untold == ()


def test_an_open_gap_outlives_a_crash() -> None:
    again = Coverage(after((0, GOOD), (1, LOST_SESSION)).value)
    again.resume(at(5), lost=True)
    again.note(GOOD, at(6))
    assert again.untold == (Loss(SESSION_LOST, since(0), at(6)),)


def resumed(*, safe: bool, lost: bool) -> Coverage:
    coverage = after((0, GOOD), (1.3, GOOD))
    coverage.safe = safe
    again = Coverage(coverage.value)
    again.resume(at(5), lost=lost)
    again.note(GOOD, at(6))
    return again


def test_after_a_crash_an_answer_that_nobody_keeps_may_be_lost() -> None:
    (loss,) = resumed(safe=False, lost=False).untold
    assert (loss.reason, loss.until) == (ANSWER_LOST, at(5))
    assert since(1.3) - GRAIN <= loss.since <= since(1.3)


def test_where_nothing_was_on_its_way_it_is_not() -> None:
    assert resumed(safe=True, lost=False).untold == ()


def test_a_process_that_finds_no_session_that_covers_it_has_a_gap() -> None:
    (loss,) = resumed(safe=True, lost=True).untold
    assert (loss.reason, loss.until) == (SESSION_LOST, at(6))


def test_quiet_polls_change_what_is_remembered_seldom() -> None:
    coverage, values = Coverage(), set()
    for second in range(60):
        coverage.note(GOOD, START + timedelta(seconds=second))
        values.add(coverage.value)
    assert len(values) <= 3


def test_gaps_that_nobody_takes_run_together_and_cover_all_that_they_did() -> None:
    coverage = Coverage()
    for number in range(MOST_UNTOLD + 5):
        coverage.note(GOOD, at(3 * number))
        coverage.note(LOST_SESSION, at(3 * number + 1))
    coverage.note(GOOD, at(1000))
    assert len(coverage.untold) == MOST_UNTOLD
    assert coverage.untold[0].since == since(0) and coverage.untold[-1].until == at(1000)


@pytest.mark.parametrize("value", [b"strange", b"{}", b"[]", b'{"good":"x","safe":1,"open":null,"untold":[]}'])
def test_a_strange_memory_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="coverage"):
        Coverage(value)
