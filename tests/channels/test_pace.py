"""A server that answers at once is asked ever more slowly, one that holds polls or brings rows at once."""

from __future__ import annotations

from itertools import pairwise

from subscriber.channels.pace import CEILING_SECONDS, QUICK_SECONDS, Pace


def test_one_quick_answer_is_normal() -> None:
    pace = Pace()
    assert pace.seconds == 0
    pace.note(0.01, 0)
    assert pace.seconds == 0


def test_more_of_them_are_asked_for_ever_more_slowly_up_to_a_ceiling() -> None:
    pace, waits = Pace(), []
    for _ in range(100):
        pace.note(0.01, 0)
        waits.append(pace.seconds)
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert 0 < waits[1] <= 0.5 and waits[-1] == CEILING_SECONDS


def test_rows_or_a_poll_that_was_held_begin_anew() -> None:
    for held_seconds, rows in ((0.01, 1), (QUICK_SECONDS, 0)):
        pace = Pace()
        for _ in range(5):
            pace.note(0.01, 0)
        pace.note(held_seconds, rows)
        assert pace.seconds == 0
