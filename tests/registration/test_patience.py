"""Who waits for what before a call is made again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable, SubscriberError
from subscriber.registration.patience import ATTEMPTS, PERSON_SECONDS, UNASKED_SECONDS, Patience


class Time:
    """Passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.stopped = False

    def pause(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.stopped


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def patience(time: Time) -> Patience:
    return Patience(time.pause, lambda: 0.5, monotonic=lambda: time.now)


def failing(*errors: PlatformUnavailable) -> Callable[[], str]:
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


def away(reason: str = "unreachable", asked: int | None = None) -> PlatformUnavailable:
    return PlatformUnavailable("gone", reason=reason, retry_after_seconds=asked)


def test_a_failure_is_waited_out_longer_each_time(patience: Patience, time: Time) -> None:
    assert patience(failing(away(), away(), away())) == "done"
    assert time.waits == [0.25, 0.5, 1.0]


def test_a_throttled_call_holds_back_everybody_for_as_long_as_it_was_asked(patience: Patience, time: Time) -> None:
    with pytest.raises(PlatformUnavailable):
        patience(failing(away("throttled", 7), *[away("tls")]))
    assert time.waits == [7]
    patience(failing(away("throttled", 7)))
    time.now -= 3  # another thread, that comes 4 seconds into it
    patience(failing())
    assert time.waits == [7, 7, 3]


def test_a_throttle_that_names_no_time_is_given_a_moment(patience: Patience, time: Time) -> None:
    patience(failing(away("throttled")))
    assert time.waits == [UNASKED_SECONDS]


def test_patience_ends(patience: Patience, time: Time) -> None:
    with pytest.raises(PlatformUnavailable):
        patience(failing(*[away()] * ATTEMPTS))
    assert len(time.waits) == ATTEMPTS - 1


@pytest.mark.parametrize("error", [away("tls"), away("throttled", 16), away("platform_failed", 3600)])
def test_what_waiting_cannot_cure_is_told_at_once(patience: Patience, time: Time, error: PlatformUnavailable) -> None:
    with pytest.raises(PlatformUnavailable):
        patience(failing(error))
    assert time.waits == []


def test_a_stop_ends_waiting(patience: Patience, time: Time) -> None:
    time.stopped = True
    with pytest.raises(PlatformUnavailable):
        patience(failing(away()))
    assert len(time.waits) == 1


# With a person who waits.


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def hasty(time: Time, told: list[str]) -> Patience:
    return Patience(time.pause, lambda: 1.0, told=lambda error: told.append(error.reason), monotonic=lambda: time.now)


def test_a_person_hears_of_an_outage_before_anybody_waits_and_once(
    hasty: Patience, time: Time, told: list[str]
) -> None:
    waits_when_told: list[int] = []
    watching = Patience(time.pause, lambda: 1.0, told=lambda _: waits_when_told.append(len(time.waits)))
    assert watching(failing(away(), away())) == "done"
    assert waits_when_told == [0]
    assert hasty(failing(away(), away(), away())) == "done"
    assert told == ["unreachable"]
    assert hasty(failing(away("platform_failed"))) == "done"
    assert told == ["unreachable", "platform_failed"]


def test_an_outage_is_over_for_a_person_after_a_stated_time(hasty: Patience, time: Time) -> None:
    for _ in range(2):  # the second call of the same outage is not tried again at all
        with pytest.raises(PlatformUnavailable):
            hasty(failing(*[away()] * ATTEMPTS))
        assert time.now == pytest.approx(PERSON_SECONDS)


def test_a_call_that_hangs_for_longer_is_made_once(hasty: Patience, time: Time, told: list[str]) -> None:
    def hang() -> str:
        time.now += 3 * PERSON_SECONDS
        raise away()

    with pytest.raises(PlatformUnavailable):
        hasty(hang)
    assert (time.waits, told) == ([], [])  # the error itself tells of it


@pytest.mark.parametrize("answer", [away("throttled", 2), PlatformRefused("no", upstream_status=403)])
def test_whatever_is_answered_ends_an_outage(
    hasty: Patience, time: Time, told: list[str], answer: SubscriberError
) -> None:
    def call() -> str:
        raise answer

    with pytest.raises(PlatformUnavailable):
        hasty(failing(*[away()] * ATTEMPTS))
    with pytest.raises(type(answer)):
        hasty(call)
    assert hasty(failing(away())) == "done"
    assert len(told) == 2


def test_a_worker_waits_through_a_long_outage(patience: Patience, time: Time) -> None:
    assert patience(failing(*[away(asked=15)] * (ATTEMPTS - 1))) == "done"
    assert time.now > PERSON_SECONDS
