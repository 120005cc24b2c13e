"""Tells the team's ``on_tenant`` who came and who went: at least once each, again when it raised.

The store remembers what was told, so nothing is missed over restarts, and a tenant that comes and goes while the hook
fails is told where it ended. One instance at a time tells, on a thread of its own: a slow hook delays nobody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from subscriber.errors import LockHeld, SubscriberError
from subscriber.model import MINDSPHERE, Tenant
from subscriber.registration.lock import locked
from subscriber.store import Passage, Registry

logger = logging.getLogger(__name__)

LOCK = "on_tenant"
AT_ONCE = 100  # read at once
LOOK_SECONDS = 30.0  # what another process wrote, and did not wake us for, is found within this
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 600.0
MAX_FAILING = 1_000  # passages whose next attempt is remembered; beyond them a hook fails at everything
END_SECONDS = 2.0

Hook = Callable[[Tenant, bool], object]


class Greeter:
    """``hook`` gets the tenant and whether it joined. ``jitter`` yields 0 up to 1, ``monotonic`` seconds.

    One for each platform: their tenants are told apart by nothing but it.
    """

    def __init__(
        self,
        registry: Registry,
        hook: Hook,
        jitter: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        platform: str = MINDSPHERE,
    ) -> None:
        self._registry = registry
        self._platform = platform
        self._lock = LOCK if platform == MINDSPHERE else f"{LOCK}:{platform}"
        self._hook = hook
        self._jitter = jitter
        self._monotonic = monotonic
        self._failing: dict[Passage, tuple[int, float]] = {}  # attempts, and when the next is due
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="on-tenant", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Somebody came or went."""
        self._wake.set()

    def close(self) -> None:
        """No further call; waits a moment for the one that runs."""
        self._stop.set()
        self._wake.set()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._wake.wait(self.tell())

    def tell(self) -> float:
        """Tell what is due. Returns the seconds until there may be more."""
        try:
            if self._registry.passages(self._platform, 1):
                lost = threading.Event()
                with locked(self._registry, self._lock, lost):
                    while self._tell_some(lost):
                        pass
        except LockHeld:
            pass  # another instance tells
        except SubscriberError as error:
            logger.warning("nobody was told", extra={"action": "on_tenant_delayed", "reason": error.reason})
        due = min((at for _, at in self._failing.values()), default=float("inf"))
        return max(0.0, min(LOOK_SECONDS, due - self._monotonic()))

    def _tell_some(self, lost: threading.Event) -> bool:
        """Tell a few. True if there may be more to tell now."""
        found = self._registry.passages(self._platform, AT_ONCE + len(self._failing))
        self._failing = {passage: retry for passage, retry in self._failing.items() if passage in set(found)}
        due = [passage for passage in found if self._is_due(passage)]
        for passage in due:
            if self._stop.is_set() or lost.is_set():
                return False
            self._tell(passage)
        return bool(due)

    def _is_due(self, passage: Passage) -> bool:
        _, at = self._failing.get(passage, (0, float("-inf")))
        return self._monotonic() >= at

    def _tell(self, passage: Passage) -> None:
        extra = {"platform": passage.tenant.platform, "tenant": passage.tenant.name, "joined": passage.joined}
        try:
            self._hook(passage.tenant, passage.joined)
        except Exception as error:  # the team's code, as around a handler; its text may quote anything
            self._fail(passage)
            reason = type(error).__name__
            logger.warning("on_tenant raised", extra={"action": "on_tenant_failed", **extra, "reason": reason})
            return
        self._registry.close_passage(passage)
        self._failing.pop(passage, None)
        logger.info("on_tenant was told", extra={"action": "on_tenant", **extra})

    def _fail(self, passage: Passage) -> None:
        attempts = self._failing.get(passage, (0, 0.0))[0] + 1
        ceiling = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 16))
        if passage in self._failing or len(self._failing) < MAX_FAILING:
            self._failing[passage] = attempts, self._monotonic() + ceiling * (0.5 + 0.5 * self._jitter())
