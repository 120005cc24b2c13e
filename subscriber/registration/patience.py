"""Repeating calls of the platform: alone after a failure, together while it throttles.

A 429 is said to the application, not to the thread that happened to hear it: so it holds back everybody who shares a
``Patience``, for as long as the platform asks. Other failures are waited out by the one they hit, with full jitter.

A worker has all the time there is. A person at a terminal has not: who is ``told`` hears at the first failure that
the platform does not answer, and once it has not answered anybody for ``PERSON_SECONDS``, nobody tries again.

Retry-After: RFC 9110, section 10.2.3; 429: RFC 6585, section 4.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.transport import (
    BACKOFF_BASE_SECONDS,
    BACKOFF_MAX_SECONDS,
    CONNECT_SECONDS,
    HOPELESS,
    PATIENCE_SECONDS,
    THROTTLED,
    Pause,
)

Result = TypeVar("Result")

# With one call in twenty failing, one of 50,000 calls in half a million runs fails so often in a row.
ATTEMPTS = 8
UNASKED_SECONDS = 1.0  # held back after a 429 that does not say for how long
PERSON_SECONDS = 10.0  # a restart of the far side; whoever waits at a terminal for longer looks for the cause
PERSON_CONNECT_SECONDS = 2.5  # to a host that says nothing at all; a round trip around the world takes half a second

Told = Callable[[PlatformUnavailable], None]  # called at most once an outage, by whichever thread meets it


def connect_seconds(told: Told | None) -> float:
    """How long a connection may take: less while a person waits."""
    return CONNECT_SECONDS if told is None else PERSON_CONNECT_SECONDS


class Patience:
    """Shared by all calls of one application. ``pause`` waits so many seconds; True = stop now.

    ``told``: a person waits, and hears of outages.
    """

    def __init__(
        self,
        pause: Pause,
        jitter: Callable[[], float],
        *,
        told: Told | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause
        self._jitter = jitter
        self._told = told
        self._monotonic = monotonic
        self._held_until = float("-inf")  # a float is replaced whole, so no lock is needed
        self._away_since = float("inf")  # when the first of the calls was made that nobody answered
        self._lock = threading.Lock()  # guards that; only taken where a person waits

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Call, and again while the platform is away or throttles.

        Raises the ``PlatformUnavailable`` of the last attempt, or of one that asks for more than PATIENCE_SECONDS.
        """
        for number in range(1, ATTEMPTS + 1):
            stopped = self._wait_together()
            began = self._monotonic()
            try:
                return self._answered(call)
            except PlatformUnavailable as error:
                last = stopped or number == ATTEMPTS or _hopeless(error)
                if last or self._outlasted(error, began) or self._wait_after(error, number):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _answered(self, call: Callable[[], Result]) -> Result:
        """Call; anything but silence or a failure of the far side ends an outage."""
        try:
            result = call()
        except PlatformUnavailable as error:
            if error.reason == THROTTLED:
                self._outage_ends()
            raise
        except PlatformRefused:
            self._outage_ends()
            raise
        self._outage_ends()
        return result

    def _outage_ends(self) -> None:
        if self._told is not None:
            with self._lock:
                self._away_since = float("inf")

    def _outlasted(self, error: PlatformUnavailable, began: float) -> bool:
        """Has the platform been away for longer than a person waits? Tells of an outage that begins."""
        if self._told is None or error.reason == THROTTLED:
            return False
        with self._lock:
            begins = self._away_since == float("inf")
            self._away_since = min(self._away_since, began)
            over = self._monotonic() - self._away_since >= PERSON_SECONDS
        if begins and not over:  # else the error itself tells of it
            self._told(error)
        return over

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
        seconds = max(self._jitter() * ceiling, asked_seconds or 0)
        if self._told is not None:
            seconds = min(seconds, max(0.0, self._away_since + PERSON_SECONDS - self._monotonic()))
        return self._pause(seconds)


def _hopeless(error: PlatformUnavailable) -> bool:
    return error.reason in HOPELESS or (error.retry_after_seconds or 0) > PATIENCE_SECONDS
