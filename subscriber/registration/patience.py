"""Repeating calls of the platform: alone after a failure, together while it throttles.

A 429 is said to the application, not to the thread that happened to hear it: so it holds back everybody who shares a
``Patience``, for as long as the platform asks. Other failures are waited out by the one they hit, with full jitter.

Retry-After: RFC 9110, section 10.2.3; 429: RFC 6585, section 4.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from subscriber.errors import PlatformUnavailable
from subscriber.transport import (
    BACKOFF_BASE_SECONDS,
    BACKOFF_MAX_SECONDS,
    HOPELESS,
    PATIENCE_SECONDS,
    THROTTLED,
    Pause,
)

Result = TypeVar("Result")

# With one call in twenty failing, one of 50,000 calls in half a million runs fails so often in a row.
ATTEMPTS = 8
UNASKED_SECONDS = 1.0  # held back after a 429 that does not say for how long


class Patience:
    """Shared by all calls of one application. ``pause`` waits so many seconds; True = stop now."""

    def __init__(
        self, pause: Pause, jitter: Callable[[], float], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._jitter = jitter
        self._monotonic = monotonic
        self._held_until = float("-inf")  # a float is replaced whole, so no lock is needed

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Call, and again while the platform is away or throttles.

        Raises the ``PlatformUnavailable`` of the last attempt, or of one that asks for more than PATIENCE_SECONDS.
        """
        for number in range(1, ATTEMPTS + 1):
            stopped = self._wait_together()
            try:
                return call()
            except PlatformUnavailable as error:
                if stopped or number == ATTEMPTS or _hopeless(error) or self._wait_after(error, number):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _wait_together(self) -> bool:
        left = self._held_until - self._monotonic()
        return left > 0 and self._pause(left)

    def _wait_after(self, error: PlatformUnavailable, number: int) -> bool:
        asked_seconds = error.retry_after_seconds
        if error.reason == THROTTLED:
            seconds = UNASKED_SECONDS if asked_seconds is None else asked_seconds
            self._held_until = max(self._held_until, self._monotonic() + seconds)
            return False
        ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** (number - 1))
        return self._pause(max(self._jitter() * ceiling, asked_seconds or 0))


def _hopeless(error: PlatformUnavailable) -> bool:
    return error.reason in HOPELESS or (error.retry_after_seconds or 0) > PATIENCE_SECONDS
