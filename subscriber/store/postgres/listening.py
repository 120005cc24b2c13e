"""Hearing that something has arrived: LISTEN, on a connection and a thread of its own.

A hint and nothing more: it may be late, missing while the database is away, or in vain. Whoever is called asks for
lanes from time to time all the same.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator

from subscriber.store.forks import Forkable
from subscriber.store.postgres.admission import CHANNEL
from subscriber.store.postgres.driver import Connection, DriverError

logger = logging.getLogger(__name__)

# Stopping is noticed this soon.
TURN_SECONDS = 0.5
# After a failure; doubles up to the second one. Each pause is between half and one and a half of it.
BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 0.5, 15.0


class Listener(Forkable):
    """Calls everybody who asked, for each hint. The thread starts with the first who asks."""

    def __init__(self, connect: Callable[[], Connection], *, jitter: Callable[[], float] = random.random) -> None:
        self._connect = connect
        self._jitter = jitter
        self._callbacks: list[Callable[[], None]] = []
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin without a connection, as in a new process; who asked in the parent is not there any more."""
        self._mutex = threading.Lock()
        self._callbacks = []
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._stop = threading.Event()

    def belongings(self) -> list[object]:
        return [self._connection]

    def add(self, callback: Callable[[], None]) -> None:
        """From now on, call this one as well."""
        with self._mutex:
            self._callbacks.append(callback)
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * TURN_SECONDS)

    def _run(self) -> None:
        pauses = _pauses()
        while not self._stop.is_set():
            try:
                self._listen()
                pauses = _pauses()
            except DriverError:
                self._stop.wait(next(pauses) * (0.5 + self._jitter()))

    def _listen(self) -> None:
        """Until told to stop, or the connection breaks."""
        with self._connect() as connection:
            self._connection = connection
            connection.execute(f"LISTEN {CHANNEL}")
            self._call_all()  # what came while nobody listened
            while not self._stop.is_set():
                if list(connection.notifies(timeout=TURN_SECONDS, stop_after=1)):
                    self._call_all()

    def _call_all(self) -> None:
        for callback in list(self._callbacks):
            try:
                callback()
            except Exception:  # a stranger's code at the top of our thread
                logger.exception("a callback failed", extra={"action": "callback"})


def _pauses() -> Iterator[float]:
    seconds = BACK_OFF_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_BACK_OFF_SECONDS)
