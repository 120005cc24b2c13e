"""Pauses grow to a ceiling, and a long outage is computed to the same attempts as walked."""

from __future__ import annotations

import pytest

from emulator.knobs import Knobs
from emulator.mindsphere.schedule import Retry

STEADY = Retry(5.0, 2.0, 900.0, 1.0)


def test_pauses_double_up_to_the_longest() -> None:
    """C10: the timing is assumed, and has knobs."""
    assert [STEADY.pause_s(failed) for failed in (1, 2, 3, 8, 9, 10_000)] == [5, 10, 20, 640, 900, 900]


def test_jitter_stays_within_its_share() -> None:
    assert Retry.of(Knobs(), 0.0).pause_s(1) == pytest.approx(4.0)
    assert Retry.of(Knobs(), 0.5).pause_s(1) == pytest.approx(5.0)
    assert 5.9 < Retry.of(Knobs(), 0.999).pause_s(1) < 6.0


def test_a_factor_of_one_never_grows() -> None:
    assert Retry(3.0, 1.0, 900.0, 1.0).pause_s(50) == 3.0


@pytest.mark.parametrize("jitter", [0.8, 1.0, 1.19])
@pytest.mark.parametrize("until", [0.0, 0.1, 5.0, 400.0, 3_000.0, 345_600.0])
def test_computing_an_outage_equals_walking_through_it(jitter: float, until: float) -> None:
    retry = Retry(5.0, 2.0, 900.0, jitter)
    at, failed = 0.0, 0
    while at < until:
        failed += 1
        at += retry.pause_s(failed)
    computed_at, computed_failed = retry.through(0.0, 0, until)
    assert computed_failed == failed
    assert computed_at == pytest.approx(at)


@pytest.mark.parametrize("failed", [3, 8, 500])
@pytest.mark.parametrize("factor", [1.0, 1.01, 2.0])
def test_computing_goes_on_where_attempts_left_off(factor: float, failed: int) -> None:
    retry = Retry(5.0, factor, 900.0, 1.1)
    at, walked = 100.0, failed
    while at < 9_000.0:
        walked += 1
        at += retry.pause_s(walked)
    computed_at, computed = retry.through(100.0, failed, 9_000.0)
    assert (computed, computed_at) == (walked, pytest.approx(at))


def test_an_attempt_after_the_outage_is_not_part_of_it() -> None:
    assert STEADY.through(100.0, 3, 100.0) == (100.0, 3)
