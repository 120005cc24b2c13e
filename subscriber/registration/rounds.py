"""When a worker reconciles: at its start, on its schedule, and soon after somebody asked. On a thread of its own.

Nothing here knows what a round does. A round that failed is tried again, later each time but never later than the
schedule; one that found another instance at work comes again soon, since that one may have begun before it was asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from subscriber.errors import LockHeld, SubscriberError

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 15.0  # after a round that failed; doubles up to the schedule
BUSY_SECONDS = 10.0  # while another instance runs; its lock outlives a crash by twice that
SPREAD = 0.2  # share of the schedule by which instances drift apart
END_SECONDS = 2.0  # a round ends between two calls; what hangs longer is left to the end of the process

Round = Callable[[], bool]  # True: everything is in place


class Rounds:
    """``jitter`` yields 0 up to 1, ``monotonic`` seconds."""

    def __init__(
        self,
        work: Round,
        every_seconds: float,
        jitter: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._every = every_seconds
        self._jitter = jitter
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._due_at = float("-inf")
        self._closed = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="registration", daemon=True)

    def start(self) -> None:
        """The first round begins at once, on the thread."""
        self._thread.start()

    def ask(self, within_seconds: float) -> None:
        """Have a round begin within this time. Whoever asks meanwhile shares it, unless it has begun."""
        with self._changed:
            self._due_at = min(self._due_at, self._monotonic() + within_seconds)
            self._changed.notify()

    def close(self) -> None:
        """No further round; waits a moment for the one that runs."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while self._await_turn():
            seconds = self.run_once()
            self.ask(seconds)

    def _await_turn(self) -> bool:
        """Wait until a round is due, and from then on for the next. False once closed."""
        with self._changed:
            while not self._closed and (left := self._due_at - self._monotonic()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            self._due_at = float("inf")
            return not self._closed

    def run_once(self) -> float:
        """One round; when the next is due by itself, in seconds from now."""
        try:
            return self._after(self._work())
        except LockHeld:
            return BUSY_SECONDS
        except SubscriberError as error:
            logger.warning(
                "reconciling failed: %s", error, extra={"action": "reconcile_failed", "reason": error.reason}
            )
        except Exception:  # top of a thread
            logger.exception("reconciling failed", extra={"action": "reconcile_failed", "reason": "bug"})
        return self._after(False)

    def _after(self, ok: bool) -> float:
        self._failures = 0 if ok else self._failures + 1
        spread = 1.0 + SPREAD * (self._jitter() - 0.5)
        if ok:
            return self._every * spread
        back_off = FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 16)
        return min(self._every, back_off) * spread
