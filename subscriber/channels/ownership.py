"""Which instance runs the exclusive channels of a platform: the one that holds a lock of the store.

One lock for all of a platform's: channels are cheap beside what they bring, and who has some of them but not the
others only makes it harder to say where something runs. An instance that stops gives the lock back; after a crash
another has it once the time is over.

The lock saves the platform from two instances that push each other out. It is not what keeps anything right: that is
the platform, which admits one client, and the store's keys.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable

from subscriber.errors import SubscriberError, Unavailable
from subscriber.store import Registry

logger = logging.getLogger(__name__)

LOCK_SECONDS = 20.0  # after a crash another instance takes over within this; four looks of the keeper


class Ownership:
    """Used by one thread at a time."""

    def __init__(
        self,
        registry: Registry,
        platform: str,
        *,
        lock_seconds: float = LOCK_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._name = f"channels:{platform}"
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lock_seconds = lock_seconds
        self._monotonic = monotonic
        self._until = float("-inf")

    def look(self) -> bool:
        """Take or keep the lock. While the store is away it is ours until the time runs out that it granted last."""
        asked_at, held = self._monotonic(), self._held()
        try:
            granted = self._registry.acquire(self._name, self._holder, self._lock_seconds) is not None
        except Unavailable:
            return self._held()
        self._until = asked_at + self._lock_seconds if granted else float("-inf")
        if granted is not held:
            action = "channels_taken" if granted else "channels_lost"
            logger.info("%s are %s", self._name, "ours" if granted else "another's", extra={"action": action})
        return granted

    def release(self) -> None:
        """Give it back: another instance may go on at once."""
        if not self._held():
            return
        self._until = float("-inf")
        try:
            self._registry.release(self._name, self._holder)
        except SubscriberError as error:  # it runs out by itself
            logger.warning(
                "%s were not released", self._name, extra={"action": "channels_kept", "reason": error.reason}
            )

    def _held(self) -> bool:
        return self._monotonic() < self._until
