"""The threads that answer: a fixed number, taking connections in the order they became ready.

Unlike ``concurrent.futures`` nothing is made per request, and the threads do not hold up the end of the process: a
worker that was told to leave has its own limit for that.

The interpreter runs one thread at a time, and each that is awake beside it wants to be next: a dozen of them change
places more than they work, at a fifth of the price of a delivery. So few are woken while there is work, the last to
rest first; the others are for when those wait themselves, for a database, a key server or a long body (``relieve``).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from subscriber.web.server.wire import Connection

logger = logging.getLogger(__name__)

EAGER = 2  # threads woken for work: one to go on while the other sends; a third only costs
STUCK_SECONDS = 0.005  # without a request taken, while some wait; nearly all are answered in a tenth of it


class Threads:
    """Runs ``serve`` for each submitted connection. What waits is bounded by the number of connections."""

    def __init__(self, count: int, serve: Callable[[Connection], None]) -> None:
        self._serve = serve
        self._spare = max(0, count - EAGER)
        self._mutex = threading.Lock()  # guards all of the following
        self._ready: deque[Connection] = deque()
        self._beds: list[threading.Lock] = []  # of threads at rest; each sleeps until its own is released
        self._taken = 0
        self._seen: tuple[int, float] = (0, 0.0)  # how many were taken, and since when no more
        for number in range(count):
            threading.Thread(target=self._work, name=f"web-{number}", daemon=True).start()

    def submit(self, connection: Connection) -> None:
        with self._mutex:
            self._ready.append(connection)
            bed = self._beds.pop() if len(self._beds) > self._spare else None
        if bed is not None:
            bed.release()

    @property
    def stretched(self) -> bool:
        """Are all awake that are woken for work? Then somebody has to look after them: see ``relieve``."""
        return len(self._beds) <= self._spare

    def relieve(self, now: float) -> None:
        """Wake one more if work waits and nobody takes it. To be called every STUCK_SECONDS while ``stretched``."""
        bed = None
        with self._mutex:
            taken, since = self._seen
            if taken != self._taken or not self._ready:
                self._seen = (self._taken, now)
            elif now - since >= STUCK_SECONDS and self._beds:
                self._seen = (self._taken, now)
                bed = self._beds.pop()
        if bed is not None:
            bed.release()

    def shutdown(self, wait: bool = False) -> None:
        """Nothing to do: daemon threads end with the process. Called by gunicorn when it quits at once."""

    def _work(self) -> None:
        bed = threading.Lock()
        bed.acquire()
        while True:
            connection = self._take(bed)
            try:
                self._serve(connection)
            except Exception:
                logger.exception("a connection was lost", extra={"action": "serve_failed"})
                connection.abandon()

    def _take(self, bed: threading.Lock) -> Connection:
        while True:
            with self._mutex:
                if self._ready:
                    self._taken += 1
                    return self._ready.popleft()
                self._beds.append(bed)
            bed.acquire()
