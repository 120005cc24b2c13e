"""The Inbox on PostgreSQL; see ``store.Inbox``.

What many do at once goes through two committers, one that accepts and one that settles; all else has a transaction
of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import cast

from subscriber.model import Attempt, DeadLetter, Decision, Lane, Notification, Receipt, Tenant, to_millis
from subscriber.store import ChannelFact, DeadFilter, Finding, Pruned, Retention, Settling
from subscriber.store.postgres import checks, erasing, leasing, replaying, retention, settling
from subscriber.store.postgres.admission import Admission
from subscriber.store.postgres.arrivals import Arrival
from subscriber.store.postgres.committer import Committer, Job
from subscriber.store.postgres.database import NOW, Database
from subscriber.store.postgres.driver import LOOKS_UP
from subscriber.store.postgres.leasing import Leasing
from subscriber.store.postgres.listening import Listener
from subscriber.store.postgres.settlement import Closing, Extension, Settlement, ending

# Of what waits or runs, the newest first: usually one step. The rest is sorted by time.
LATER = """
    SELECT coalesce(
        (SELECT true FROM inbox WHERE source <> '' AND state IN ('pending', 'running') AND tenant_id = tenants.id
        AND source = %(source)s AND topic = %(topic)s AND occurred_at > %(occurred_at)s
        ORDER BY xid DESC, seq DESC LIMIT 1),
        (SELECT true FROM inbox WHERE source <> '' AND state IN ('done', 'dead') AND tenant_id = tenants.id
        AND source = %(source)s AND topic = %(topic)s AND occurred_at > %(occurred_at)s LIMIT 1))
    FROM tenants WHERE platform = %(platform)s AND name = %(name)s
"""
# Write for real: a full disk is only seen by writing.
PROBE = f"""
    INSERT INTO heartbeats (platform, at) VALUES ('', {NOW})
    ON CONFLICT (platform) DO UPDATE SET at = greatest(heartbeats.at, excluded.at)
"""
PROBE_FRESH_SECONDS = 1.0  # a commit this recent answers a probe


class Submission:
    """See ``store.Submission``."""

    __slots__ = ("_committer", "_job")

    def __init__(self, committer: Committer[Arrival], job: Job[Arrival]) -> None:
        self._committer = committer
        self._job = job

    def receipts(self) -> list[Receipt]:
        return cast(list[Receipt], self._committer.result(self._job))

    def when_done(self, callback: Callable[[], None]) -> None:
        self._committer.when_done(self._job, callback)


class PostgresInbox:
    """One per process; all threads share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        patience = database.patience_seconds
        self._accepting: Committer[Arrival] = Committer(
            "accepting", database.connect, Admission(database), patience_seconds=patience
        )
        self._settling: Committer[Closing] = Committer(
            "settling", lambda: database.connect(LOOKS_UP), Settlement(database), patience_seconds=patience
        )
        self._listener = Listener(database.connect)

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
        return Submission(self._accepting, self._accepting.submit(arrival, weight))

    def lanes(self) -> list[Lane]:
        with self._database.lookups() as connection:
            return leasing.lanes(connection, self._database.told_millis())

    def on_arrival(self, callback: Callable[[], None]) -> None:
        self._listener.add(callback)

    def lease(
        self,
        lanes: Sequence[Lane],
        limit: int,
        seconds: float,
        ordered: Mapping[Lane, Sequence[str]] | None = None,
    ) -> list[Attempt]:
        if not lanes or limit < 1:
            return []
        with self._database.lookups() as connection:
            return Leasing(connection, self._database.told_millis(), seconds, ordered or {})(lanes, limit)

    def extend(self, attempt: Attempt, seconds: float) -> bool:
        return self._close(Extension(attempt.seq, attempt.lease, int(seconds * 1000)))

    def settle(self, attempt: Attempt, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> bool:
        return self._close(ending(attempt, decision, sinks_done))

    def settling(self, attempt: Attempt) -> AbstractContextManager[Settling]:
        return settling.settling(attempt, self._database)

    def superseded(self, notification: Notification) -> bool:
        if not notification.source or notification.occurred_at is None:
            return False
        known = {
            **notification.tenant._asdict(),
            "source": notification.source,
            "topic": notification.topic,
            "occurred_at": to_millis(notification.occurred_at),
        }
        with self._database.lookups() as connection:
            return connection.execute(LATER, known).fetchall() == [(True,)]

    def replay(self, tenant: Tenant, keys: Sequence[bytes]) -> int:
        return replaying.replay(self._database, tenant, keys)

    def replay_dead(
        self,
        tenant: Tenant | None,
        reason: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        wanted = DeadFilter(tenant=tenant, reason=reason, since=since, until=until)
        return replaying.replay_dead(self._database, wanted)

    def erase(self, tenant: Tenant) -> int:
        return erasing.erase(self._database, tenant)

    def prune(self, wanted: Retention, *, limit: int = 10_000) -> Pruned:
        return retention.prune(self._database, wanted, limit)

    def check(self) -> list[Finding]:
        return checks.findings(self._database)

    def probe(self) -> None:
        if time.monotonic() - self._accepting.committed_at > PROBE_FRESH_SECONDS:
            with self._database.service() as connection:
                connection.execute(PROBE, {"now": self._database.told_millis()})

    def close(self) -> None:
        self._listener.close()
        self._accepting.close()
        self._settling.close()
        self._database.close()

    def _close(self, closing: Closing) -> bool:
        return cast(bool, self._settling.commit(closing))
