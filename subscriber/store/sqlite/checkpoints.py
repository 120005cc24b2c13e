"""Moving commits from the log into the database, beside the writing.

SQLite would do it inside every commit that finds the log long, while everybody waits. Here a thread moves the bulk
while writers go on, then the rest in a turn of its own: only a log that was moved whole starts anew, and one that is
always written to never would. See sqlite.org/wal.html, "Checkpointing".
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing

from subscriber.store.sqlite.driver import Connection, DriverError, open_writer, unavailable
from subscriber.store.sqlite.forks import Forkable
from subscriber.store.sqlite.lockfile import WriterLock

logger = logging.getLogger(__name__)

# 16 MiB of pages: often-written ones are moved once for many commits, and reading through the log stays quick.
LONG_LOG_PAGES = 4000
# A busy service writes that much in half a second.
INTERVAL_SECONDS = 0.2
STOP_SECONDS = 1.0  # moving 16 MiB takes a tenth of it


class Checkpointer(Forkable):
    """One per process that writes. Its thread starts with the first commit and sleeps while there are none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = WriterLock(path)
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin with nothing, as in a new process."""
        self._lock.close()
        self._thread: threading.Thread | None = None
        self._committed = threading.Event()
        self._closed = threading.Event()
        self._connection: Connection | None = None

    def belongings(self) -> list[object]:
        return [self._connection]

    def note_commit(self) -> None:
        """Called by the committer after each commit."""
        if not self._committed.is_set():
            self._committed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop. What is left in the log is safe there until somebody moves it."""
        self._closed.set()
        self._committed.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while self._committed.wait() and not self._closed.wait(INTERVAL_SECONDS):
            self._committed.clear()
            self._tidy()
        self._lock.close()

    def _tidy(self) -> None:
        try:
            with closing(open_writer(self._path, lock_wait_seconds=0)) as self._connection:
                self.shorten(self._connection)
        except DriverError as error:
            refusal = unavailable(error)
            logger.error("the log was not moved: %s", refusal.detail, extra={"action": "checkpoint"})
        except OSError as error:
            logger.error("the log was not moved: %s", error.strerror, extra={"action": "checkpoint"})
        finally:
            self._connection = None

    def shorten(self, connection: Connection) -> bool:
        """Move a long log into the database. True if it starts anew with the next commit.

        A reader that looks at an old moment can prevent that; the next time it is tried again.
        """
        if _log_pages(connection, "NOOP") < LONG_LOG_PAGES:
            return False
        _log_pages(connection, "PASSIVE")
        with self._lock:
            _, logged, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(logged == moved)


def _log_pages(connection: Connection, mode: str) -> int:
    _, logged, _ = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(logged)
