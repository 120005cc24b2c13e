"""A named lock of the store, held and renewed while something runs.

Whoever loses it without noticing (a machine that slept, a store that was away) is told by ``lost``, and the store
refuses what it still writes by the fence's number.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from subscriber.errors import LockHeld, Unavailable
from subscriber.store import Fence, Registry

logger = logging.getLogger(__name__)

LOCK_SECONDS = 20.0  # after a crash the next run waits at most so long
RENEW_SECONDS = 5.0  # three renewals may fail before the lock is lost


@contextmanager
def locked(registry: Registry, name: str, lost: threading.Event) -> Iterator[Fence]:
    """Hold the lock for a ``with`` block; ``lost`` is set if another takes it meanwhile.

    Raises ``LockHeld`` if another has it, store errors.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    number = registry.acquire(name, holder, LOCK_SECONDS)
    if number is None:
        raise LockHeld(f"another instance holds the lock {name!r}")
    fence, ended = Fence(name=name, holder=holder, number=number), threading.Event()
    renewing = threading.Thread(target=_renew, args=(registry, fence, ended, lost), name=f"lock-{name}", daemon=True)
    renewing.start()
    try:
        yield fence
    finally:
        ended.set()
        renewing.join()
        registry.release(name, holder)


def _renew(registry: Registry, fence: Fence, ended: threading.Event, lost: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        try:
            number = registry.acquire(fence.name, fence.holder, LOCK_SECONDS)
        except Unavailable as error:
            logger.warning("a lock was not renewed", extra={"action": "lock_not_renewed", "reason": error.reason})
            continue
        if number != fence.number:
            logger.error("a lock was lost", extra={"action": "lock_lost", "reason": fence.name})
            return lost.set()
