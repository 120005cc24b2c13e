"""The leases this process holds: taken, renewed while their handlers run, let go when settled.

Only one thread, the dispatcher's own, takes and renews; any may let go. When the store was away for longer than a
lease, the row of a handler that still runs comes up again: it is recognised and its new lease adopted, so that it
neither runs twice here nor loses its result.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from subscriber.model import Attempt, Lane, Tenant
from subscriber.routes import (
    NO_CLIENT,
    NO_NETWORK,
    PlatformClient,
    PlatformClients,
    Route,
    RoutingTable,
    RunningAttempt,
)
from subscriber.store import Clock, Inbox

LEASE_SECONDS = 30.0  # how long a crash delays what was running; long beside the 5 s that a busy store may take
RENEWALS = 3  # per lease: one may fail, and the next still comes in time


@dataclass(slots=True, eq=False)
class Job:
    """One leased row on its way through this process."""

    attempt: Attempt  # the newest lease of it
    route: Route | None
    running: RunningAttempt
    renew_at: float  # monotonic seconds; infinite once the lease is lost


class Leases:
    """Leased rows by their number. Bounded by what the dispatcher asks for."""

    def __init__(
        self,
        inbox: Inbox,
        table: RoutingTable,
        clock: Clock,
        seconds: float = LEASE_SECONDS,
        platform_client: PlatformClients = lambda tenant: NO_CLIENT,
    ) -> None:
        self._platform_client = platform_client
        self._inbox = inbox
        self._table = table
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}

    def take(self, lanes: Sequence[Lane], limit: int) -> list[Job]:
        """Lease up to ``limit`` rows of these lanes, in order where that is kept; returns those not running here."""
        renew_at = self._next_renewal()
        patterns = {lane: self._table.ordered_over(lane) for lane in lanes}
        ordered = {lane: over for lane, over in patterns.items() if over}
        attempts = self._inbox.lease(lanes, limit, self._seconds, ordered)
        with self._lock:
            jobs = [self._adopt(attempt, renew_at) for attempt in attempts]
        return [job for job in jobs if job is not None]

    def renew(self) -> None:
        """Extend what has used a third of its lease. Raises ``Unavailable`` kinds: call again soon then."""
        now = time.monotonic()
        with self._lock:
            due = [job for job in self._jobs.values() if job.renew_at <= now]
        for job in due:
            renew_at = self._next_renewal()
            lease_until = self._clock() + timedelta(seconds=self._seconds)
            if self._inbox.extend(job.attempt, self._seconds):
                job.renew_at, job.running.lease_until = renew_at, lease_until
            else:
                job.renew_at = math.inf

    def is_sure(self, job: Job) -> bool:
        """Does it last, by this process's own clock? Where the process stood still, another may have the row."""
        return job.renew_at < math.inf and time.monotonic() < job.renew_at + self._seconds * (1 - 1 / RENEWALS)

    def release(self, job: Job, ended: Attempt | None = None) -> Job | None:
        """The job is over. ``ended`` is the lease it was settled by, None if it was not.

        A settled row may be due again at once, and leased before its job is let go: that lease, if there is one, is
        returned as a new job.
        """
        with self._lock:
            self._jobs.pop(job.attempt.seq, None)
            if ended is None or job.attempt is ended:
                return None
            return self._adopt(job.attempt, job.renew_at)

    def _adopt(self, attempt: Attempt, renew_at: float) -> Job | None:
        """A new job, or None if the row's job is still here: then it goes on under the new lease."""
        known = self._jobs.get(attempt.seq)
        if known is not None:
            known.attempt, known.renew_at = attempt, renew_at
            known.running.lease_until = attempt.lease_until
            return None
        route = self._table.match(attempt.notification)
        running = RunningAttempt(
            attempt.number, attempt.lease_until, self._client(attempt.notification.tenant, route)
        )
        job = Job(attempt, route, running, renew_at)
        self._jobs[attempt.seq] = job
        return job

    def _client(self, tenant: Tenant, route: Route | None) -> PlatformClient:
        if route is not None and route.transactional:
            return NO_NETWORK
        return self._platform_client(tenant)

    def _next_renewal(self) -> float:
        return time.monotonic() + self._seconds / RENEWALS
