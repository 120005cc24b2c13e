"""Makes changes at the broker, several tenants at once, and remembers each before the next.

A thread takes a tenant, makes its changes one after another and has each answer committed before it goes on: after a
kill at most one call per thread is made again. Threads that commit at the same moment share the transaction, so
40,000 rows are far fewer waits for the disk. Tenants are taken from an iterator as threads come free: nothing grows
with their number. A tenant or topic that fails fails alone; only a platform that is away for everybody, a stop or a
lost lock ends it early.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.registration.plan import Change, Unsubscribe, as_row
from subscriber.store import Fence, Registry

logger = logging.getLogger(__name__)

# Tenants at once. On one machine 16 already keep both sides busy; a platform answers from farther away.
CEILING = 32
OUTAGE_CALLS = CEILING  # as many calls in a row as run at once found nobody there: the rest would not either
REPORTED_FAILURES = 1_000  # kept in memory and logged one by one; more are counted
REFUSED_CREDENTIALS = (401, 403)  # what a version's subscriptions say to the credentials of another

DONE, FAILED, STALE, UNANSWERED = "done", "failed", "stale", "unanswered"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one change: ``outcome`` is one of the words above, ``reason`` and ``detail`` say why not DONE.

    ``repaired``: the broker did not have what we remembered. STALE: it could not be removed with these credentials.
    UNANSWERED: the platform said neither yes nor no, so nothing new is known.
    """

    change: Change
    outcome: str = DONE
    reason: str = ""
    detail: str = ""
    repaired: bool = False

    @property
    def ok(self) -> bool:
        return self.outcome in (DONE, STALE)


@dataclass(slots=True)
class Report:
    """What a run did. ``cut_short`` says why it ended early: stopped, platform_away, lock_lost; else empty."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Applied] = field(default_factory=list)  # the first REPORTED_FAILURES
    repaired: int = 0  # subscriptions that were remembered and not there
    cut_short: str = ""

    @property
    def ok(self) -> bool:
        """Is everything as planned?"""
        return not (self.cut_short or self.outcomes[FAILED] or self.outcomes[UNANSWERED])

    def add(self, applied: Applied) -> None:
        self.outcomes[applied.outcome] += 1
        self.repaired += applied.repaired
        if not applied.ok and len(self.failures) < REPORTED_FAILURES:
            self.failures.append(applied)
            _log(applied)


# Makes a change at the platform; True if what was to be kept had to be made anew. Raises ``PlatformRefused``,
# ``PlatformUnavailable``.
Perform = Callable[[Change], bool]
Observe = Callable[[Applied], None]  # called after each change, by one thread at a time


class Applier:
    """Works off one iterator of changes, grouped by tenant. ``lost``: set when the lock behind ``fence`` is."""

    def __init__(
        self,
        perform: Perform,
        registry: Registry,
        *,
        stop: threading.Event,
        fence: Fence | None = None,
        lost: threading.Event | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._perform = perform
        self._registry = registry
        self._stop = stop
        self._fence = fence
        self._lost = lost or threading.Event()
        self._observe = observe
        self._lock = threading.Lock()
        self.report = Report()  # of everything this applier was given
        self._unanswered = 0  # calls in a row that found nobody there
        self._error: Exception | None = None

    def run(self, groups: Iterator[Sequence[Change]]) -> None:
        """Until there are no more groups. Raises the store's errors, and what ``groups`` raises."""
        threads = [
            threading.Thread(target=self._work, args=(groups,), name=f"registration-{number}", daemon=True)
            for number in range(CEILING)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def run_one(self, changes: Sequence[Change]) -> None:
        """The changes of one tenant, in the calling thread."""
        self._apply_all(changes)

    def _work(self, groups: Iterator[Sequence[Change]]) -> None:
        try:
            while (group := self._take(groups)) is not None:
                self._apply_all(group)
        except Exception as error:  # top of a thread: told by `run`
            with self._lock:
                self._error = self._error or error

    def _take(self, groups: Iterator[Sequence[Change]]) -> Sequence[Change] | None:
        with self._lock:
            return None if self._ended() else next(groups, None)

    def _ended(self) -> bool:
        """Must nothing more be begun?"""
        if self._lost.is_set():
            self.report.cut_short = "lock_lost"
        elif self._stop.is_set():
            self.report.cut_short = "stopped"
        elif self._unanswered >= OUTAGE_CALLS:
            self.report.cut_short = "platform_away"
        return bool(self.report.cut_short or self._error)

    def _apply_all(self, changes: Sequence[Change]) -> None:
        healthy = True  # older versions stay until this one is in place
        for change in changes:
            if isinstance(change, Unsubscribe) and change.why == "version" and not healthy:
                continue
            applied = self._apply(change)
            healthy = healthy and applied.ok
            if not self._remember(applied):
                self._lost.set()
            with self._lock:
                self._count(applied)
                if self._ended():
                    return

    def _count(self, applied: Applied) -> None:
        self._unanswered = self._unanswered + 1 if applied.outcome == UNANSWERED else 0
        self.report.add(applied)
        if self._observe is not None:
            self._observe(applied)

    def _apply(self, change: Change) -> Applied:
        try:
            return Applied(change, repaired=self._perform(change))
        except PlatformRefused as error:
            unwelcome = isinstance(change, Unsubscribe) and error.upstream_status in REFUSED_CREDENTIALS
            return Applied(change, STALE if unwelcome else FAILED, error.reason, error.detail)
        except PlatformUnavailable as error:
            return Applied(change, UNANSWERED, error.reason, error.detail)

    def _remember(self, applied: Applied) -> bool:
        """False if the lock is lost."""
        subscription = applied.change.subscription
        if applied.outcome == UNANSWERED:
            return True
        removed = isinstance(applied.change, Unsubscribe)
        if removed and applied.outcome == DONE:
            return self._registry.remove_subscription(as_row(subscription, "active"), self._fence)
        state = "active" if applied.outcome == DONE else "stale" if applied.outcome == STALE else "failed"
        return self._registry.put_subscription(as_row(subscription, state, applied.detail), self._fence)


def _log(applied: Applied) -> None:
    subscription = applied.change.subscription
    extra = {
        "action": "subscription_failed",
        "platform": subscription.tenant.platform,
        "tenant": subscription.tenant.name,
        "topic": subscription.topic,
        "reason": applied.reason,
    }
    logger.warning("a subscription is not as it should be", extra=extra)
