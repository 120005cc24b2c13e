"""The Inbox on SQLite; see ``store.Inbox``. Everything that writes goes through the committer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import TypeVar, cast

from subscriber.model import Attempt, DeadLetter, Decision, Lane, Notification, Outcome, Receipt, Tenant, to_millis
from subscriber.store import ChannelFact, Clock, DeadFilter, Finding, Pruned, Retention, Settling
from subscriber.store.sqlite import leasing, retention, settling
from subscriber.store.sqlite.admission import Arrival, Work
from subscriber.store.sqlite.checks import durability, findings
from subscriber.store.sqlite.committer import Committer, Job
from subscriber.store.sqlite.compaction import compact
from subscriber.store.sqlite.readers import Readers
from subscriber.store.sqlite.transaction import NOBODY, Transaction

Result = TypeVar("Result")

LARGEST_LEASE = 256  # rows with their bodies, in memory at once; far more than handlers that run
# Turns that one lease takes, as far as each only found rows to park: some 0.2 s in all, others between them.
LEASE_TURNS = 16
# Asked of each half of the index by source. The rows that are not pending are in order of `occurred_at`; the pending
# ones in order of arrival, where the newest answers as a rule. It takes a long look only if all of these are older,
# though nothing that was handled is newer: so for the newest row of all, once.
LATER = """
    SELECT 1 FROM inbox WHERE source <> '' AND state {} 'pending'
    AND tenant_id = (SELECT id FROM tenants WHERE platform = ?1 AND name = ?2)
    AND source = ?3 AND topic = ?4 AND occurred_at > ?5
"""
SUPERSEDED = f"""
    {LATER.format("<>")}
    UNION ALL
    SELECT * FROM ({LATER.format("=")} ORDER BY seq DESC LIMIT 1)
    LIMIT 1
"""
PROBE_FRESH_SECONDS = 1.0  # a commit this recent answers a probe


class Submission:
    """See ``store.Submission``."""

    __slots__ = ("_committer", "_job")

    def __init__(self, committer: Committer[Work], job: Job) -> None:
        self._committer = committer
        self._job = job

    def receipts(self) -> list[Receipt]:
        return cast(list[Receipt], self._committer.result(self._job))

    def when_done(self, callback: Callable[[], None]) -> None:
        self._committer.when_done(self._job, callback)


class SqliteInbox:
    """One per process; all threads share it."""

    def __init__(self, path: str, committer: Committer[Work], readers: Readers, clock: Clock) -> None:
        self._path = path
        self._committer = committer
        self._readers = readers
        self._clock = clock
        self._callbacks: list[Callable[[], None]] = []
        committer.when_committed(self._hint)

    def add(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> list[Receipt]:
        if not notifications and not dead_letters and not facts:
            return []
        return self.submit(notifications, dead_letters, facts).receipts()

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Submission:
        arrival = Arrival(notifications, dead_letters, facts)
        weight = len(notifications) + len(dead_letters) + len(facts)
        return Submission(self._committer, self._committer.submit(arrival, weight))

    def lanes(self) -> list[Lane]:
        with self._readers.lend() as connection:
            rows = connection.execute(leasing.LANES, {"now": to_millis(self._clock())}).fetchall()
        return [Lane(Tenant(platform, name), topic) for platform, name, topic in rows]

    def on_arrival(self, callback: Callable[[], None]) -> None:
        """See ``store.Inbox``: what other processes accept is found by asking for lanes."""
        self._callbacks.append(callback)

    def lease(
        self,
        lanes: Sequence[Lane],
        limit: int,
        seconds: float,
        ordered: Mapping[Lane, Sequence[str]] | None = None,
    ) -> list[Attempt]:
        if not lanes or limit < 1:
            return []
        work = partial(leasing.lease, lanes, min(limit, LARGEST_LEASE), seconds, ordered or {})
        for _ in range(LEASE_TURNS):
            attempts, cut_short = self._run(work)
            if not cut_short:
                return attempts
        self._tell()  # there may be more behind what was looked at
        return []

    def extend(self, attempt: Attempt, seconds: float) -> bool:
        return self._run(partial(leasing.extend, attempt, seconds))

    def settle(self, attempt: Attempt, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> bool:
        return self._run(partial(leasing.settle, attempt, decision, sinks_done))

    def settling(self, attempt: Attempt) -> AbstractContextManager[Settling]:
        return settling.settling(attempt, self._committer, self._clock)

    def superseded(self, notification: Notification) -> bool:
        if not notification.source or notification.occurred_at is None:
            return False
        occurred_at = to_millis(notification.occurred_at)
        with self._readers.lend() as connection:
            found = connection.execute(
                SUPERSEDED, (*notification.tenant, notification.source, notification.topic, occurred_at)
            ).fetchall()
        return bool(found)

    def replay(self, tenant: Tenant, keys: Sequence[bytes]) -> int:
        return retention.replay(tenant, keys, self._run)

    def replay_dead(
        self,
        tenant: Tenant | None,
        reason: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        wanted = DeadFilter(tenant=tenant, reason=reason, since=since, until=until)
        return retention.replay_dead(wanted, self._readers, self._run)

    def erase(self, tenant: Tenant) -> int:
        tenant_id = self._run(partial(retention.mark_gone, tenant))
        if tenant_id == NOBODY:
            return 0
        dropped = retention.drop_rows(tenant_id, self._run)
        self._committer.alone(partial(compact, self._path))
        return dropped

    def prune(self, wanted: Retention, *, limit: int = 10_000) -> Pruned:
        return retention.Sweep(self._readers, self._run, retention.cutoffs(wanted, self._clock), limit)()

    def check(self) -> list[Finding]:
        with self._readers.lend() as connection:
            found = findings(connection, self._path)
        return [*found, self._run(durability)]

    def probe(self) -> None:
        if time.monotonic() - self._committer.committed_at > PROBE_FRESH_SECONDS:
            self._run(_probe)

    def close(self) -> None:
        self._committer.close()
        self._readers.close()

    def _hint(self, jobs: Sequence[Job]) -> None:
        """One hint for all that a commit brought."""
        if any(isinstance(job.work, Arrival) and _has_new(job) for job in jobs):
            self._tell()

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback()

    def _run(self, work: Callable[[Transaction], Result]) -> Result:
        return cast(Result, self._committer.commit(work))


def _has_new(job: Job) -> bool:
    return job.error is None and any(receipt.outcome is Outcome.NEW for receipt in cast(list[Receipt], job.outcome))


def _probe(transaction: Transaction) -> None:
    """Write for real: a full disk is only seen by writing."""
    transaction.execute(
        "INSERT INTO heartbeats (platform, at) VALUES ('', ?) ON CONFLICT DO UPDATE SET at = excluded.at",
        (transaction.now,),
    )
