"""The lock that every writer of a database holds while it writes, across processes.

SQLite's own waiting sleeps and polls, so that under load a process may lose its turn again and again. Waiting in
the kernel costs nothing and ends the moment the lock is free, also when its holder was killed. SQLite's locks stay
in force below it: programs that do not know this file are kept apart all the same.
"""

from __future__ import annotations

import fcntl
import os
from types import TracebackType

SUFFIX = ".lock"  # `migrate` takes the same file


class WriterLock:
    """``with`` it to write. One thread of a process uses it; there is no time limit: the caller's caller has one."""

    def __init__(self, database_path: str) -> None:
        self._path = database_path + SUFFIX
        self._file: int | None = None

    def __enter__(self) -> None:
        """Wait for the turn. Raises ``OSError`` if the file cannot be opened or created."""
        if self._file is None:
            # Read only is enough to lock, and another user's file can be opened so.
            self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back. In a forked child this leaves the parent's lock alone."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
