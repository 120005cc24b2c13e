"""What one process may hold for its callers at a time. Both limits answer at once; neither waits."""

from __future__ import annotations

import threading


class InFlight:
    """Bytes received and not yet answered."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Count ``size`` more bytes, or refuse: then nothing is counted."""
        with self._lock:
            if self._held + size > self._limit:
                return False
            self._held += size
            return True

    def give(self, size: int) -> None:
        """The bytes are let go."""
        with self._lock:
            self._held -= size

    @property
    def held(self) -> int:
        return self._held


class Slots:
    """Threads that may wait for a sender at the same time."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        return self._free.acquire(blocking=False)

    def give(self) -> None:
        self._free.release()
