"""How long a lost channel waits before it is tried again: exponential with full jitter, a floor and a ceiling.

Pure. The floor keeps jitter from making a tight loop, the ceiling bounds how late a platform is noticed that came
back.
"""

from __future__ import annotations

from collections.abc import Callable

from subscriber.errors import PlatformRefused, PlatformUnavailable, SubscriberError

BASE_SECONDS = 0.5
CEILING_SECONDS = 60.0
FLOOR_SECONDS = 0.05
# A connection that stood for so long was a good one: what ended it is new.
STEADY_SECONDS = 60.0
TOKEN_REFUSED = "token_refused"  # reason: a connection was refused for its token; a new one is made for each attempt
DOUBLINGS = 10  # more than BASE needs to pass CEILING


class Delays:
    """One channel's patience. ``jitter`` yields numbers from 0 up to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._token_refused = False

    def after(self, error: SubscriberError, stood_seconds: float, fruitful: bool = False) -> float:
        """Seconds to wait after a connection that stood for so long, 0 if it was never made.

        Was it ``fruitful``, for frames were stored, then a backlog shrinks from one short connection to the next, and
        delays begin anew. A refused token is replaced at once, but only once: if the next is refused too, something
        else is wrong. What the platform asks for is respected, and that asking sooner is of no use.
        """
        if fruitful or stood_seconds >= STEADY_SECONDS:
            self._failures, self._token_refused = 0, False
        refused_before, self._token_refused = self._token_refused, error.reason == TOKEN_REFUSED
        if self._token_refused and not refused_before:
            return 0.0
        ceiling = min(CEILING_SECONDS, BASE_SECONDS * 2.0 ** min(self._failures, DOUBLINGS))
        self._failures += 1
        return max(FLOOR_SECONDS, self._jitter() * ceiling, _asked(error))


def _asked(error: SubscriberError) -> float:
    asks = isinstance(error, PlatformUnavailable | PlatformRefused)
    return float(error.retry_after_seconds or 0) if asks else 0.0
