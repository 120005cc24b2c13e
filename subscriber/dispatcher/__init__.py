"""Leases stored notifications, lets their routes handle them, settles each with a decision.

It calls what it is given (store, routes, sinks) and knows neither handlers nor receivers. It never runs a
notification without a lease, never settles one whose lease is lost, and never gives up because the store is away.

One thread decides what to lease (a *turn*), ``WORKER_THREADS`` threads run and settle. Each turn goes round the
tenants, leaves out lanes that are paused or wholly held, and leases little, so that leases rotate: lanes.py. A route
uses at most half of the threads; built-in routes have a thread of their own: crew.py. Leases are renewed while
handlers run: leases.py. A route whose receiver is away is held: holds.py. What becomes of one notification:
handling.py and decisions.py; how it ends in the store, also together with what its handler wrote: settling.py.

A lane is ordered if one of the routes its rows may take is: then the store yields of each source only the row whose
turn it is, over the topics of these routes, whichever process asks. Which route a row takes is only known once it is
leased, so rows of an ordered lane that go to another route are held to the order as well. While a row waits for its
retry, or for the end of a pause or a hold, its source waits with it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from subscriber.dispatcher.crew import Crew
from subscriber.dispatcher.decisions import RetryPolicy, Settled
from subscriber.dispatcher.handling import Handling, Observer
from subscriber.dispatcher.holds import Holds
from subscriber.dispatcher.lanes import Rotation, is_paused, lane_of, pauses_of
from subscriber.dispatcher.leases import LEASE_SECONDS, Job, Leases
from subscriber.errors import Unavailable
from subscriber.model import Lane
from subscriber.routes import HANDLER, NO_CLIENT, PlatformClients, Route, RoutingTable, Sink
from subscriber.store import Clock, Inbox, Registry

__all__ = ["Dispatcher", "Observer", "RetryPolicy", "Settled"]

logger = logging.getLogger(__name__)

IDLE_MIN_SECONDS = 0.05  # pause after a turn that found nothing; doubles up to
IDLE_MAX_SECONDS = 0.5  # this: half of the second within which a notification shall be handled when all is quiet
ARRIVAL_SECONDS = 0.01  # notifications come in bursts: what arrives together is met by one turn
OUTAGE_SECONDS = 1.0  # pause, on average, when the store cannot serve a turn
DRAIN_SECONDS = 6.5  # what running handlers get after a stop; with noticing it and a last word, under 8 s in all
BUILT_IN_THREADS = 1  # built-in routes are rare and short; they only must not wait behind a team's handlers


class Dispatcher:
    """Built once per worker process; ``run`` works until told to stop."""

    def __init__(
        self,
        inbox: Inbox,
        registry: Registry,
        routes: Sequence[Route],
        *,
        policy: RetryPolicy,
        threads: int,
        sinks: Sequence[Sink] = (),
        built_in: Sequence[Route] = (),
        platform_client: PlatformClients = lambda tenant: NO_CLIENT,
        observer: Observer | None = None,
        clock: Clock = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
        lease_seconds: float = LEASE_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        """``built_in`` routes come before the team's. ``clock`` is the store's, ``jitter`` yields 0 up to 1.

        ``platform_client`` makes what handlers find as ``attempt.platform``; it must not ask anybody itself.

        Raises ``ValueError`` if two sinks have one name, or one has the handler's.
        """
        names = [HANDLER, *(sink.name for sink in sinks)]
        if len(set(names)) < len(names):
            raise ValueError(f"sinks need names of their own, and none may be {HANDLER!r}: {names[1:]}")
        self._inbox = inbox
        self._registry = registry
        self._clock = clock
        self._jitter = jitter
        self._drain_seconds = drain_seconds
        self._wake = threading.Event()
        self._freed = threading.Event()
        self._table = RoutingTable(routes, built_in)
        self._holds = Holds()
        self._leases = Leases(inbox, self._table, clock, lease_seconds, platform_client)
        self._handling = Handling(
            inbox,
            self._table,
            sinks,
            self._holds,
            self._leases,
            policy=policy,
            clock=clock,
            jitter=jitter,
            observer=observer,
        )
        self._crew = self._hire("handler", threads, max(1, threads // 2))
        self._built_in_crew = self._hire("built-in", BUILT_IN_THREADS, BUILT_IN_THREADS)
        crews = (self._crew, self._built_in_crew) if built_in else (self._crew,)
        self._rotations = {crew: Rotation() for crew in crews}
        inbox.on_arrival(self._wake.set)

    def run_once(self) -> Counter[Settled]:
        """One turn in the calling thread: lease, run and settle. Returns what became of the attempts.

        For tests and scripts: leases are not renewed meanwhile. Raises ``Unavailable`` kinds.
        """
        before = self._handling.tally()
        self._turn()
        for crew in self._rotations:
            crew.work_off()
        return self._handling.tally() - before

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then lease nothing more, give back what has not started, and let what runs
        finish for ``drain_seconds``. What still runs then is left to its lease."""
        self._handling.closing.clear()
        for crew in self._rotations:
            crew.start()
        try:
            self._loop(stop)
        finally:
            self._drain()

    def _loop(self, stop: threading.Event) -> None:
        idle_seconds = IDLE_MIN_SECONDS
        while not stop.is_set():
            self._wake.clear()
            self._freed.clear()
            try:
                leased = self._turn()
            except Unavailable as error:
                logger.warning(
                    "the store cannot serve a turn", extra={"action": "turn_failed", "reason": error.reason}
                )
                stop.wait(OUTAGE_SECONDS * (0.5 + self._jitter()))
                continue
            if leased:
                idle_seconds = IDLE_MIN_SECONDS
            else:
                self._rest(idle_seconds)
                idle_seconds = min(2 * idle_seconds, IDLE_MAX_SECONDS)

    def _rest(self, seconds: float) -> None:
        """Until something arrived, or a job ended: there is room then, and an ordered source may have its turn."""
        if self._wake.wait(seconds):
            self._freed.wait(ARRIVAL_SECONDS)

    def _on_freed(self) -> None:
        self._freed.set()
        self._wake.set()

    def _turn(self) -> int:
        """Renew, then lease as much as there is room for. Returns how many rows were leased."""
        self._leases.renew()
        self._handling.pauses = pauses_of(self._registry.pauses())
        if not any(crew.room() for crew in self._rotations):
            return 0
        lanes = [lane for lane in self._inbox.lanes() if not is_paused(lane, self._handling.pauses)]
        return sum(self._fill(crew, lanes) for crew in self._rotations) + self._probe(lanes)

    def _fill(self, crew: Crew, lanes: Sequence[Lane]) -> int:
        """Lease for one crew, from the lanes that may hold work for it."""
        room, rotation = crew.room(), self._rotations[crew]
        ordered = rotation.order(lane for lane in lanes if self._has_work(crew, lane)) if room else []
        if not ordered:
            return 0
        jobs = self._leases.take(ordered, room)
        rotation.served(ordered, [lane_of(job.attempt.notification) for job in jobs], room)
        return self._put(jobs)

    def _has_work(self, crew: Crew, lane: Lane) -> bool:
        return any(
            self._crew_of(route) is crew and not self._holds.held(route) and crew.accepts(route)
            for route in self._table.candidates(lane.tenant.platform, lane.topic)
        )

    def _probe(self, lanes: Sequence[Lane]) -> int:
        """Lease one row for each held route whose probe is due, from the lanes that are otherwise left alone."""
        leased = 0
        for lane in lanes:
            routes = self._table.candidates(lane.tenant.platform, lane.topic)
            if all(self._holds.held(route) for route in routes) and any(map(self._wants_probe, routes)):
                leased += self._put(self._leases.take([lane], 1))
        return leased

    def _wants_probe(self, route: Route | None) -> bool:
        """One at a time: while a probe waits for its thread, or others still run, there is no second."""
        return self._holds.probe_due(route, self._clock()) and not self._crew_of(route).busy_with(route)

    def _put(self, jobs: Sequence[Job]) -> int:
        for job in jobs:
            self._crew_of(job.route).put(job)
        return len(jobs)

    def _crew_of(self, route: Route | None) -> Crew:
        return self._built_in_crew if self._table.is_built_in(route) else self._crew

    def _hire(self, name: str, threads: int, per_route: int) -> Crew:
        return Crew(name, threads, per_route, self._handling.handle, self._on_freed)

    def _drain(self) -> None:
        until = time.monotonic() + self._drain_seconds
        self._give_back([job for crew in self._rotations for job in crew.withdraw()])
        while not self._all_ended(until) and time.monotonic() < until:
            self._renew_if_possible()
        self._handling.closing.set()
        if not self._all_ended(until + IDLE_MAX_SECONDS):
            logger.warning("handlers still run after the drain time", extra={"action": "drain_incomplete"})

    def _all_ended(self, until: float) -> bool:
        """Did every thread end? Waits a moment for it, not past ``until``."""
        until = min(until, time.monotonic() + IDLE_MAX_SECONDS)
        return all([crew.join(until - time.monotonic()) for crew in self._rotations])

    def _give_back(self, jobs: Sequence[Job]) -> None:
        try:
            for job in jobs:
                self._handling.give_back(job)
        except Unavailable as error:
            logger.warning(
                "unstarted work keeps its leases", extra={"action": "give_back_failed", "reason": error.reason}
            )

    def _renew_if_possible(self) -> None:
        try:
            self._leases.renew()
        except Unavailable as error:
            _warn("leases were not renewed", "renew_failed", error)


def _warn(text: str, action: str, error: Unavailable) -> None:
    logger.warning(text, extra={"action": action, "reason": error.reason})
