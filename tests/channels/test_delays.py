"""How long a lost channel waits."""

from __future__ import annotations

import pytest

from subscriber.channels.delays import BASE_SECONDS, CEILING_SECONDS, FLOOR_SECONDS, STEADY_SECONDS, Delays
from subscriber.errors import PlatformRefused, PlatformUnavailable, SubscriberError

BROKEN = PlatformUnavailable("the connection broke", reason="broken")
REFUSED_TOKEN = PlatformRefused("no", reason="token_refused", upstream_status=401)


def after(delays: Delays, *errors: SubscriberError) -> list[float]:
    return [delays.after(error, 0.0) for error in errors]


def test_delays_double_up_to_a_ceiling() -> None:
    found = after(Delays(lambda: 1.0), *[BROKEN] * 12)
    assert found[:4] == [BASE_SECONDS, 2 * BASE_SECONDS, 4 * BASE_SECONDS, 8 * BASE_SECONDS]
    assert found[-1] == CEILING_SECONDS


def test_jitter_spreads_the_whole_delay_but_never_makes_a_tight_loop() -> None:
    assert after(Delays(lambda: 0.5), BROKEN) == [BASE_SECONDS / 2]
    assert after(Delays(lambda: 0.0), *[BROKEN] * 3) == [FLOOR_SECONDS] * 3


def test_a_connection_that_stood_for_long_starts_the_delays_anew() -> None:
    delays = Delays(lambda: 1.0)
    after(delays, *[BROKEN] * 5)
    assert delays.after(BROKEN, STEADY_SECONDS) == BASE_SECONDS


def test_a_connection_that_brought_frames_does_too_however_short() -> None:
    delays = Delays(lambda: 1.0)
    after(delays, *[BROKEN] * 5)
    assert delays.after(BROKEN, 0.0, fruitful=True) == BASE_SECONDS


def test_a_short_connection_does_not() -> None:
    delays = Delays(lambda: 1.0)
    after(delays, BROKEN)
    assert delays.after(BROKEN, STEADY_SECONDS - 1) == 2 * BASE_SECONDS


def test_a_refused_token_is_replaced_at_once_but_not_again_and_again() -> None:
    found = after(Delays(lambda: 1.0), REFUSED_TOKEN, REFUSED_TOKEN, REFUSED_TOKEN, BROKEN, REFUSED_TOKEN)
    assert found == [0.0, BASE_SECONDS, 2 * BASE_SECONDS, 4 * BASE_SECONDS, 0.0]


@pytest.mark.parametrize(("asked", "delay"), [(30, 30.0), (None, BASE_SECONDS)])
def test_what_the_platform_asks_for_is_respected(asked: int | None, delay: float) -> None:
    throttled = PlatformUnavailable("slower", reason="throttled", retry_after_seconds=asked)
    assert after(Delays(lambda: 1.0), throttled) == [delay]


def test_what_only_a_person_can_put_right_is_asked_for_rarely() -> None:
    refused = PlatformRefused("no", reason="key_refused", upstream_status=401, retry_after_seconds=300)
    assert after(Delays(lambda: 1.0), refused) == [300.0]
