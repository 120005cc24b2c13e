"""One job from its lease to its settled decision. Called from many threads at once.

Handler and sinks are parts of equal standing: each that has succeeded is remembered in the row, so that a later
attempt repeats only the others. No text of a handler's error reaches a log: it may quote a payload.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from subscriber.dispatcher.decisions import (
    Away,
    RetryPolicy,
    Settled,
    Verdict,
    bounded,
    decide,
    outcome_of,
    read_answer,
    read_error,
)
from subscriber.dispatcher.holds import Admission, Change, Holds
from subscriber.dispatcher.lanes import Pauses, is_paused
from subscriber.dispatcher.leases import Job, Leases
from subscriber.errors import Unavailable
from subscriber.model import Attempt, Dead, Decision, Done, Hold, Lane, Notification
from subscriber.routes import HANDLER, Route, RoutingTable, Sink
from subscriber.store import Clock, Inbox

logger = logging.getLogger(__name__)

INSIST_FIRST_SECONDS = 0.1  # a busy store has often taken its breath by then
INSIST_MAX_SECONDS = 2.0  # well under a third of a lease, so that a store that is back is noticed in time
LEVELS = {Settled.DONE: logging.INFO, Settled.HELD: logging.INFO}  # the others are warnings

Result = TypeVar("Result")


class _End(NamedTuple):
    """The last lease by which a job was to be settled, and whether it still held."""

    attempt: Attempt
    settled: bool


class Observer(Protocol):
    """Who counts outcomes, for example as metrics. Called from many threads."""

    def on_settled(self, platform: str, outcome: str) -> None:
        """``outcome`` is a ``Settled`` value."""


class Handling:
    """Runs jobs and settles them. ``pauses`` is kept current by the dispatcher; ``closing`` ends all insisting."""

    def __init__(
        self,
        inbox: Inbox,
        table: RoutingTable,
        sinks: Sequence[Sink],
        holds: Holds,
        leases: Leases,
        *,
        policy: RetryPolicy,
        clock: Clock,
        jitter: Callable[[], float],
        observer: Observer | None,
    ) -> None:
        self._inbox = inbox
        self._table = table
        self._sinks = tuple(sinks)
        self._holds = holds
        self._leases = leases
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self._observer = observer
        self._lock = threading.Lock()
        self._tally: Counter[Settled] = Counter()
        self.pauses: Pauses = frozenset()
        self.closing = threading.Event()

    def handle(self, job: Job) -> None:
        """Run what has to run, settle, and let the lease go; again if the row came up meanwhile."""
        following: Job | None = job
        while following is not None:
            ended = None
            try:
                ended = self._handle(following)
            finally:
                following = self._leases.release(following, ended)

    def give_back(self, job: Job) -> None:
        """Put a job back that never started. Raises ``Unavailable`` kinds: then its lease runs out by itself."""
        self._leases.release(job)
        decision = Hold(self._clock(), "stopping")
        self._record(job, decision, self._inbox.settle(job.attempt, decision, job.attempt.sinks_done))

    def tally(self) -> Counter[Settled]:
        """How many attempts ended how, since the start."""
        with self._lock:
            return self._tally.copy()

    def _handle(self, job: Job) -> Attempt | None:
        """Returns the lease by which the job ended, None if the process closes before the store took its end."""
        if is_paused(_lane(job.attempt.notification), self.pauses):
            return self._settle(job, Hold(self._clock(), "paused"), job.attempt.sinks_done)
        if job.route is None:
            return self._settle(job, _unrouted(job.attempt.notification), job.attempt.sinks_done)
        decision = self._without_running(job, job.route)
        if decision is not None:
            return self._settle(job, decision, job.attempt.sinks_done)
        admission = self._holds.admit(job.route, self._clock())
        if admission is Admission.WAIT:
            return self._settle(job, Hold(self._hold_at(job, job.route), "route_held"), job.attempt.sinks_done)
        return self._run(job, job.route, admission)

    def _without_running(self, job: Job, route: Route) -> Decision | None:
        """The decision on a job that must not run any more."""
        if job.attempt.number > self._policy.limited_to(route.max_attempts).max_attempts:
            # It never came to a decision: whatever it does to this process, it shall not do for ever.
            return Dead("attempts", "every lease ran out: the process ended, or lost its store, while it ran")
        if route.latest_only and self._superseded(job):
            return Done("superseded")
        return None

    def _superseded(self, job: Job) -> bool:
        """Without a source or a time of its own, a notification has no newer one."""
        notification = job.attempt.notification
        if not notification.source or notification.occurred_at is None:
            return False
        return bool(self._insist(lambda: self._inbox.superseded(notification)))

    def _run(self, job: Job, route: Route, admission: Admission) -> Attempt | None:
        verdicts: list[Verdict] = []
        done = set(job.attempt.sinks_done)
        away = True  # should a part of ours break: a probe that came to no end has not seen the receiver
        try:
            for name, part in self._parts(job, route):
                verdicts.append(_verdict(part))
                if isinstance(verdicts[-1], Done):
                    done.add(name)
            away = any(isinstance(verdict, Away) for verdict in verdicts)
        finally:
            self._report(route, admission, away)
        decision = decide(
            verdicts,
            job.running.number,
            self._policy.limited_to(route.max_attempts),
            now=self._clock(),
            jitter=self._jitter(),
            hold_at=self._hold_at(job, route),
        )
        return self._settle(job, decision, frozenset(done))

    def _parts(self, job: Job, route: Route) -> Iterator[tuple[str, Callable[[], object]]]:
        """What has not succeeded yet."""
        notification = job.attempt.notification
        parts: dict[str, Callable[[], object]] = {HANDLER: partial(route.handler, notification, job.running)}
        parts |= {sink.name: partial(sink.send, notification) for sink in self._sinks}
        return ((name, part) for name, part in parts.items() if name not in job.attempt.sinks_done)

    def _report(self, route: Route, admission: Admission, away: bool) -> None:
        change = self._holds.report(route, admission, away=away, now=self._clock())
        if change is Change.HELD:
            logger.warning("a receiver is away: %s is held", route, extra={"action": "route_held"})
        if change is Change.RELEASED:
            logger.info("the receiver is back: %s goes on", route, extra={"action": "route_released"})

    def _hold_at(self, job: Job, route: Route) -> datetime:
        """When a held notification may come again.

        At once where its lane holds nothing but this route: such a lane is not leased before the next probe. In a
        shared lane it steps aside until then, or it would be in the way of the others.
        """
        notification, now = job.attempt.notification, self._clock()
        if self._table.candidates(notification.platform, notification.topic) == (route,):
            return now
        return self._holds.next_probe(route, now)

    def _settle(self, job: Job, decision: Decision, done: frozenset[str]) -> Attempt | None:
        ended = self._insist(partial(self._settle_by_newest_lease, job, decision, done))
        self._record(job, decision, ended is not None and ended.settled)
        return None if ended is None else ended.attempt

    def _settle_by_newest_lease(self, job: Job, decision: Decision, done: frozenset[str]) -> _End:
        """The dispatcher may have adopted a new lease of the row since ours was read."""
        attempt = job.attempt
        while not (settled := self._inbox.settle(attempt, decision, done)) and job.attempt is not attempt:
            attempt = job.attempt
        return _End(attempt, settled)

    def _insist(self, call: Callable[[], Result]) -> Result | None:
        """Repeat what the store cannot do now, until it can or the process closes (None).

        However long the store is away, what a handler has done is not forgotten: nobody else can lease the row
        meanwhile, and if somebody does before us, the lease's number says so.
        """
        seconds = INSIST_FIRST_SECONDS
        while True:
            try:
                return call()
            except Unavailable:
                if self.closing.wait(seconds * (0.5 + self._jitter())):
                    return None
                seconds = min(2 * seconds, INSIST_MAX_SECONDS)

    def _record(self, job: Job, decision: Decision, settled: bool) -> None:
        outcome = outcome_of(decision) if settled else Settled.LOST
        notification = job.attempt.notification
        with self._lock:
            self._tally[outcome] += 1
        if self._observer is not None:
            self._observer.on_settled(notification.platform, outcome)
        logger.log(
            LEVELS.get(outcome, logging.WARNING),
            "notification %s",
            outcome,
            extra={
                "action": f"notification_{outcome}",
                "platform": notification.platform,
                "tenant": notification.tenant.name,
                "key": notification.key.hex(),
                "attempt": job.attempt.number,
                "reason": decision.reason,
            },
        )


def _verdict(part: Callable[[], object]) -> Verdict:
    try:
        return read_answer(part())
    except (Exception, SystemExit) as error:  # around a handler; SystemExit: the process is not its to end
        return read_error(error)


def _lane(notification: Notification) -> Lane:
    return Lane(notification.tenant, notification.topic)


def _unrouted(notification: Notification) -> Dead:
    return Dead(
        "unrouted",
        bounded(
            f"no route for platform {notification.platform!r}, topic {notification.topic!r}, "
            f"action {notification.action!r}, channel {notification.channel!r}"
        ),
    )
