"""A few connections for reading, lent to whoever asks.

Readers never block writers nor each other. There are at most ``CONNECTIONS`` of them, opened when first needed: web
processes have many threads, and each connection keeps a cache.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from subscriber.errors import StoreBusy
from subscriber.store.forks import Forkable
from subscriber.store.sqlite.driver import Connection, DriverError, open_reader, unavailable

CONNECTIONS = 4  # two cores read two pages at once; twice that for queries that wait for the disk
WAIT_SECONDS = 5.0  # as long as a request may wait for the writer


class Readers(Forkable):
    """The pool of one process."""

    def __init__(self, path: str, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin with no connection, as in a new process."""
        self._idle: list[Connection] = []
        self._lent = threading.BoundedSemaphore(CONNECTIONS)
        self._closed = False

    def belongings(self) -> list[object]:
        return list(self._idle)

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """A connection for a ``with`` block; what it reads in one statement is one moment of the database.

        Raises ``StoreBusy`` when none comes back in time, ``StoreUnavailable`` when the database cannot be read.
        """
        lent = self._lent
        if not lent.acquire(timeout=self._wait_seconds):
            raise StoreBusy(f"no read connection came free in {self._wait_seconds:.0f} s")
        try:
            with self._one() as connection:
                yield connection
        except DriverError as error:
            raise unavailable(error) from error
        finally:
            lent.release()

    @contextmanager
    def _one(self) -> Iterator[Connection]:
        """Out of the pool and back; a connection that failed is closed, not kept."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = open_reader(self._path)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle; what is lent closes when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
