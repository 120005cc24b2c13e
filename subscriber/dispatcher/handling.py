"""One job from its lease to its settled decision. Called from many threads at once.

Handler and sinks are parts of equal standing: each that has succeeded is remembered in the row, so that a later
attempt repeats only the others. On a transactional route the handler comes last, in the transaction that settles
the row; sinks stay outside, as they wait for the network. No text of a handler's error reaches a log: it may quote a
payload.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from subscriber.dispatcher.decisions import Away, RetryPolicy, Settled, Verdict, bounded, decide, outcome_of
from subscriber.dispatcher.holds import Admission, Change, Holds
from subscriber.dispatcher.lanes import Pauses, is_paused, lane_of
from subscriber.dispatcher.leases import Job, Leases
from subscriber.dispatcher.settling import End, Ending, Part, Settler, verdict_of
from subscriber.model import Attempt, Dead, Decision, Done, Hold, Notification
from subscriber.routes import HANDLER, Route, RoutingTable, Sink
from subscriber.store import Clock, Inbox

logger = logging.getLogger(__name__)

LEVELS = {Settled.DONE: logging.INFO, Settled.HELD: logging.INFO}  # the others are warnings


@dataclass(slots=True, eq=False)
class Trial:
    """An admitted job and what its parts say, by their names."""

    job: Job
    route: Route
    admission: Admission
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    reported: bool = False  # whether the receiver was there

    @property
    def done(self) -> frozenset[str]:
        """What has succeeded, now or in earlier attempts."""
        now = {name for name, verdict in self.verdicts.items() if isinstance(verdict, Done)}
        return self.job.attempt.sinks_done | now

    @property
    def away(self) -> bool:
        return any(isinstance(verdict, Away) for verdict in self.verdicts.values())


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
        self._settler = Settler(inbox, jitter)
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
        self.closing = self._settler.closing

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
        settled = self._inbox.settle(job.attempt, decision, job.attempt.sinks_done)
        self._record(job, outcome_of(decision) if settled else Settled.LOST, decision.reason)

    def tally(self) -> Counter[Settled]:
        """How many attempts ended how, since the start."""
        with self._lock:
            return self._tally.copy()

    def _handle(self, job: Job) -> Attempt | None:
        """Returns the lease by which the job ended; None if that ran out, or this process closes, before its end."""
        if not self._leases.is_sure(job):
            self._record(job, Settled.LOST, "lease_over")
            return None
        if is_paused(lane_of(job.attempt.notification), self.pauses):
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
        return bool(self._settler.insist(lambda: self._inbox.superseded(notification)))

    def _run(self, job: Job, route: Route, admission: Admission) -> Attempt | None:
        trial = Trial(job, route, admission)
        try:
            for name, part in self._parts(trial):
                trial.verdicts[name] = verdict_of(part)
            if route.transactional and HANDLER not in trial.done:
                return self._run_transactional(trial)
            return self._settle(job, *self._conclude(trial))
        finally:
            # Should a part of ours break: a probe that came to no end has not seen the receiver.
            self._report(trial, away=True)

    def _run_transactional(self, trial: Trial) -> Attempt | None:
        """The handler's turn, after the sinks'."""

        def conclude(done: Done) -> Ending:
            trial.verdicts[HANDLER] = done
            return self._conclude(trial)

        job = trial.job
        end = self._settler.run_and_settle(job, _handler(trial), conclude)
        if end is not None and not isinstance(end, End):
            trial.verdicts[HANDLER] = end
            return self._settle(job, *self._conclude(trial))
        self._report(trial, trial.away)
        return self._ended(job, end, "stopping")

    def _parts(self, trial: Trial) -> Iterator[tuple[str, Part]]:
        """What has not succeeded yet, but for a handler that runs in a transaction."""
        notification, done = trial.job.attempt.notification, trial.done
        if HANDLER not in done and not trial.route.transactional:
            yield HANDLER, _handler(trial)
        for sink in self._sinks:
            if sink.name not in done:
                yield sink.name, partial(sink.send, notification)

    def _conclude(self, trial: Trial) -> Ending:
        """All parts have spoken."""
        self._report(trial, trial.away)
        decision = decide(
            list(trial.verdicts.values()),
            trial.job.running.number,
            self._policy.limited_to(trial.route.max_attempts),
            now=self._clock(),
            jitter=self._jitter(),
            hold_at=self._hold_at(trial.job, trial.route),
        )
        return decision, trial.done

    def _report(self, trial: Trial, away: bool) -> None:
        """Tell once whether a receiver was away: it holds the route, or ends the hold."""
        if trial.reported:
            return
        trial.reported = True
        change = self._holds.report(trial.route, trial.admission, away=away, now=self._clock())
        if change is Change.HELD:
            logger.warning("a receiver is away: %s is held", trial.route, extra={"action": "route_held"})
        if change is Change.RELEASED:
            logger.info("the receiver is back: %s goes on", trial.route, extra={"action": "route_released"})

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
        return self._ended(job, self._settler.settle(job, decision, done), decision.reason)

    def _ended(self, job: Job, end: End | None, reason: str) -> Attempt | None:
        """``reason`` is for an end that the store never took."""
        if end is None:
            self._record(job, Settled.LOST, reason)
            return None
        self._record(job, Settled.LOST if end.decision is None else outcome_of(end.decision), end.reason)
        return end.attempt

    def _record(self, job: Job, outcome: Settled, reason: str) -> None:
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
                "reason": reason,
            },
        )


def _handler(trial: Trial) -> Part:
    return partial(trial.route.handler, trial.job.attempt.notification, trial.job.running)


def _unrouted(notification: Notification) -> Dead:
    return Dead(
        "unrouted",
        bounded(
            f"no route for platform {notification.platform!r}, topic {notification.topic!r}, "
            f"action {notification.action!r}, channel {notification.channel!r}"
        ),
    )
