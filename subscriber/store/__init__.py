"""The store's contract, stated once; ``sqlite`` and ``postgres`` implement it.

Rules that every back end keeps:

- Whatever a method writes, it writes in one durable transaction, and it returns after the commit.
- The unique key (tenant, key) of the inbox is the deduplication: the insert answers, nothing looks first.
- No statement on tenant data lacks the tenant, except the dispatcher's lease.
- The clock is the store's: callers never say what time it is.
- Library errors never leave the store: ``StoreBusy``, ``StoreUnavailable`` or ``SchemaOutdated`` do.
- All objects may be used from many threads; after ``os.fork`` a child opens its own store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from subscriber.model import Attempt, DeadLetter, Decision, Lane, Notification, Receipt, Tenant
from subscriber.store.values import (
    CHANNEL_FACT_BYTES,
    AuditRow,
    ByReason,
    Census,
    ChannelFact,
    ChannelRow,
    Counter,
    Counts,
    DeadFilter,
    DeadLetterRow,
    Fence,
    Finding,
    Gap,
    Page,
    Passage,
    Pause,
    Pruned,
    ReasonCount,
    Retention,
    RosterRow,
    RosterUpdate,
    Row,
    RowFilter,
    SubscriptionRow,
    Tail,
    TenantRow,
    TenantState,
)

__all__ = [
    "CHANNEL_FACT_BYTES",
    "EXPECTED_MIGRATION",
    "REPEAT_WINDOW",
    "AuditRow",
    "ByReason",
    "Census",
    "ChannelFact",
    "ChannelRow",
    "Clock",
    "Counter",
    "Counts",
    "Cursor",
    "DeadFilter",
    "DeadLetterRow",
    "Fence",
    "Finding",
    "Gap",
    "Inbox",
    "Page",
    "Passage",
    "Pause",
    "Pruned",
    "ReasonCount",
    "Registry",
    "Reports",
    "Retention",
    "RosterRow",
    "RosterUpdate",
    "Row",
    "RowFilter",
    "Settling",
    "Store",
    "Submission",
    "SubscriptionRow",
    "Tail",
    "TenantRow",
    "TenantState",
    "open_store",
]

EXPECTED_MIGRATION = "0006_quarters"

# An event that comes again within this time of its first acceptance is the broker sending again, not the platform
# publishing again: publishing happens at 1-minute intervals (reference, section 3.3).
REPEAT_WINDOW = timedelta(seconds=60)


class Submission(Protocol):
    """Notifications on their way into the store."""

    def receipts(self) -> list[Receipt]:
        """Wait for what ``add`` returns, or raise as it does. The 5 s count from ``Inbox.submit``."""

    def when_done(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once ``receipts`` need not wait: at once, or later from the committing thread.

        It must neither block nor take long: nobody's notifications are committed meanwhile. If the turn to write
        does not come, it is never called: ask for ``receipts`` when the 5 s are over.
        """


class Cursor(Protocol):
    """What a transactional handler writes with: a DB-API cursor (PEP 249) that cannot end its transaction.

    Values are marked ``?`` on SQLite and ``%s`` on PostgreSQL. It is dead once the transaction has ended.
    """

    @property
    def description(self) -> Sequence[Any] | None: ...

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchmany(self, size: int = ..., /) -> list[Any]: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Settling(Protocol):
    """A transaction in which a handler writes and its attempt is settled: both or neither."""

    @property
    def cursor(self) -> Cursor: ...

    def settle(self, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> None:
        """As ``Inbox.settle``, once, as the last thing. Raises ``LeaseLost``: then nothing of it stays."""


class Inbox(Protocol):
    """Accepting, leasing, settling. The hot path."""

    def add(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> list[Receipt]:
        """Keep what is new, all of it or nothing, and return one receipt per notification, in order.

        Calls that wait at the same time share a commit. On an equal (tenant, key):

        - ``Identity.TIMED``: DUPLICATE.
        - ``Identity.ID``: DUPLICATE if ``content`` is equal or unknown, else CONFLICT: the first wins, this one
          becomes a dead letter ``conflicting_duplicate`` in the same transaction.
        - ``Identity.CONTENT``: DUPLICATE while the latest copy is not settled (pending, running), or within
          ``REPEAT_WINDOW`` of that copy's acceptance; otherwise NEW with the next repeat number and key.

        Unknown tenants become active ones. For a tenant that is gone: ERASED, nothing is stored.
        A dead letter with the same tenant, reason and digest only raises that row's count.
        The counters of ``minutes`` and the ``facts`` are written in the same transaction; of equal facts' places the
        last one stands. Facts of a tenant that is gone are not kept.
        Raises ``StoreBusy`` after 5 s of waiting (nothing is stored then), ``StoreUnavailable``; the latter with the
        reason ``unstorable`` if a value fits no column, which codecs see to: nobody else's call suffers from it.
        """

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Submission:
        """As ``add``, without waiting: a server can free its thread and answer when the commit is done."""

    def lanes(self) -> list[Lane]:
        """The lanes that have a pending row whose time has come, or a lease that ran out."""

    def on_arrival(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, from any thread, when there may be something to lease: at most a hint.

        Hints may be late, missing or in vain, so lanes are asked for from time to time all the same.
        """

    def lease(
        self,
        lanes: Sequence[Lane],
        limit: int,
        seconds: float,
        ordered: Mapping[Lane, Sequence[str]] | None = None,
    ) -> list[Attempt]:
        """Lease up to ``limit`` due rows of these lanes, taking turns between lanes in the given order.

        The oldest due row of a lane goes first. Rows whose lease ran out are due again; their attempt has counted.
        A leased row is nobody else's until ``seconds`` have passed.

        ``ordered`` names those of the lanes whose rows keep their order, each with the topic patterns (``fnmatch``)
        over which it holds: a row with a source is leased only when no unsettled row of the same tenant and source,
        with a topic that one of the patterns matches, arrived before it or runs (a replay gives a row its old place
        back). So a retry or a pause holds back its own source, and a dead row nothing. Rows without a source are
        free. The work does not grow with the backlog, not even with that of one source; a lane may be leased ordered
        now and unordered later, or the reverse.
        """

    def extend(self, attempt: Attempt, seconds: float) -> bool:
        """Move the lease's end to now + ``seconds``. False if the lease was lost."""

    def settle(self, attempt: Attempt, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> bool:
        """End an attempt by its decision and remember which sinks have succeeded. False if the lease was lost.

        ``Done`` and ``Dead`` end the row. ``Retry`` (with ``at`` set) puts it back, ``Hold`` as well, without
        counting the attempt. Calls that wait at the same time share a commit.
        """

    def settling(self, attempt: Attempt) -> AbstractContextManager[Settling]:
        """A transaction for a handler's own writes, in which its attempt is settled.

        The end of the block commits if ``Settling.settle`` was called; without it, and on any exception, everything
        is rolled back. On SQLite the block runs in the writer's turn and gets 2 s, on PostgreSQL 60 s: a handler in
        it asks no network, and the attempt can be extended meanwhile.

        Raises ``LeaseLost`` if the lease is not held, ``OutOfTime`` if the block took too long, ``HandlerError`` with
        the reason ``constraint`` at the end of the block if a constraint that is checked there does not hold,
        ``StoreBusy`` and ``StoreUnavailable``: nothing was written then. What the block raises passes as it is.
        """

    def superseded(self, notification: Notification) -> bool:
        """Is a row of the same tenant, topic and source in, whatever its state, with a later ``occurred_at``?"""

    def replay(self, tenant: Tenant, keys: Sequence[bytes]) -> int:
        """Put done or dead rows back to pending with fresh attempts. Returns how many were moved.

        A row that was done is handled anew, sinks included; one that was dead repeats only what has not succeeded.
        """

    def replay_dead(
        self,
        tenant: Tenant | None,
        reason: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """The same for all dead rows of a tenant (None: every tenant) and reason (None: any).

        ``since`` and ``until``: only those that died in that time, from the first to before the second.
        """

    def erase(self, tenant: Tenant) -> int:
        """Remove a tenant's data beyond recovery, leave a tombstone. Returns how many rows went."""

    def prune(self, retention: Retention, *, limit: int = 10_000) -> Pruned:
        """Forget up to ``limit`` bodies, rows, letters and tenants each. Call again until all counts are 0.

        A row goes only when its key is older than the horizon; a body may go before.
        """

    def check(self) -> list[Finding]:
        """Integrity, schema, durability settings, room on the disk. Reads everything: not for probes."""

    def probe(self) -> None:
        """Can a notification be stored now? Cheap; raises as ``add`` would."""

    def close(self) -> None:
        """Let go of every connection. Writes already waiting are finished first."""


class Registry(Protocol):
    """Tenants, subscriptions, pauses, gaps, locks, audit: what changes rarely."""

    def tenants(self) -> list[TenantRow]: ...

    def tenant_state(self, tenant: Tenant) -> str:
        """One of ``TenantState``; empty if the tenant is unknown. Cheap: one row by its key."""

    def put_tenant(self, tenant: Tenant, state: str) -> bool:
        """Set a tenant's state, creating it if needed. True if that changed anything."""

    def subscriptions(self, platform: str) -> list[SubscriptionRow]: ...

    def subscriptions_of(self, tenants: Sequence[Tenant]) -> list[SubscriptionRow]:
        """The same for some tenants, all of one platform: who has many reads them a few at a time."""

    def subscribed(self, platform: str) -> list[Tenant]:
        """The tenants with at least one subscription row, by name."""

    def put_subscription(self, row: SubscriptionRow, fence: Fence | None = None) -> bool:
        """Insert or replace by (tenant, topic, subscriber, version). ``updated_at`` is set by the store.

        Calls that wait at the same time share a commit. False, and nothing written, if the fence's lock has passed
        to another.
        """

    def remove_subscription(self, row: SubscriptionRow, fence: Fence | None = None) -> bool:
        """Forget one. As :meth:`put_subscription`."""

    def roster(self, platform: str) -> list[RosterRow]:
        """Every tenant and everybody a notice was about, by name."""

    def census(self, platform: str) -> Census: ...

    def update_roster(self, platform: str, update: RosterUpdate, fence: Fence) -> bool:
        """Write a part of what a list changes, at most some hundred tenants. False if the fence's lock is lost."""

    def close_census(self, platform: str, read_at: datetime, waiting: int, fence: Fence) -> bool:
        """A complete list was written whole; reading it began at ``read_at``."""

    def close_reconciliation(self, platform: str, fence: Fence) -> bool:
        """Every subscription is in place as of now."""

    def hear(self, tenant: Tenant, published_at: datetime, joined: bool) -> bool:
        """A notice of the provisioning topic. True if the tenant is served because of it.

        Says no to a notice that is older than one heard before, or than a complete list without the tenant, and for
        a tenant that is gone. That a tenant has left is only remembered: lists decide.
        """

    def passages(self, platform: str, limit: int) -> list[Passage]:
        """Members that came or went since the team was last told."""

    def close_passage(self, passage: Passage) -> None:
        """The team was told."""

    def departed(self, platform: str, age: timedelta) -> list[Tenant]:
        """Tenants to erase: leaving for at least that long, or gone with data left by an erasure that was cut off."""

    def tally(self, platform: str) -> dict[str, int]:
        """How many ``subscriptions_<state>`` and ``tenants_<state>`` there are; absent names are 0."""

    def pauses(self) -> list[Pause]: ...

    def pause(self, kind: str, name: str) -> bool: ...

    def resume(self, kind: str, name: str) -> bool: ...

    def heartbeat(self, platform: str, retention: timedelta) -> Gap | None:
        """Say that the service accepts deliveries of this platform now; call it every minute.

        If the previous heartbeat is longer ago than the platform's ``retention``, what was published between that
        heartbeat and now - retention is lost: the gap is recorded and returned.
        """

    def credentials_since(self, client_id: str) -> datetime | None:
        """When these credentials were first seen here, or last said to be new. None: never."""

    def see_credentials(self, client_id: str) -> None:
        """They are used now. The first time is remembered, later ones change nothing."""

    def renew_credentials(self, client_id: str) -> None:
        """They were issued anew under the same client id: their time starts now."""

    def channel_fact(self, tenant: Tenant, channel: str, name: str) -> bytes:
        """The value last written by ``Inbox.add``, empty if there is none."""

    def put_channels(self, rows: Sequence[ChannelRow]) -> None:
        """Insert or replace by (tenant, channel, name); at most some hundred at once. Tenants unknown here are made.

        ``seen_at`` is set by the store.
        """

    def remove_channels(self, rows: Sequence[ChannelRow]) -> None:
        """Forget these."""

    def channels(self, platform: str | None = None) -> list[ChannelRow]:
        """All channels of a platform (None: of every one), by tenant, channel and name."""

    def add_gap(self, gap: Gap) -> None: ...

    def gaps(self, limit: int = 100) -> list[Gap]: ...

    def acquire(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or keep the named lock for ``seconds``. A fencing number that only grows, None if another has it."""

    def release(self, name: str, holder: str) -> None: ...

    def astray(self, limit: int) -> list[SubscriptionRow]:
        """Subscriptions of any platform that are not as they should be, by platform and tenant."""

    def count_refused(self, times: int) -> None:
        """Raise ``Counter.REFUSED`` of this minute: so many deliveries were refused, of nobody known."""

    def audit(self, actor: str, action: str, detail: str) -> None:
        """Remember who did what."""

    def audited(self, limit: int, before: int | None = None) -> list[AuditRow]:
        """Who did what, newest first; ``before`` is the id of the last row of the page before."""


class Reports(Protocol):
    """Read only. Sees what is committed, never blocks a writer."""

    def counts(self, tenant: Tenant | None = None) -> Counts:
        """Work does not grow with the number of done rows."""

    def within(self, tenants: Sequence[Tenant]) -> Reports:
        """The same reports, blind to every other tenant: what a tenant's own people may see.

        The store sees to it: a question that forgets to name a tenant gets nothing of others.
        """

    def rows(self, wanted: RowFilter, limit: int, before: int | None = None) -> Page: ...

    def end(self) -> str:
        """The cursor behind everything that is committed now."""

    def after(self, wanted: RowFilter, cursor: str, limit: int) -> Tail:
        """Rows that came behind the cursor (empty: from the first row kept on), in order of arrival.

        Whoever goes on with ``Tail.cursor`` meets every row once, also those committed late. Rows that are still to
        be joined by such a one are not shown yet. Looks at a bounded number of rows: ``rows`` may be empty although
        there are more. Raises ``InvalidCursor``.
        """

    def row(self, tenant: Tenant, key: bytes) -> Row | None: ...

    def dead_by_reason(self, wanted: DeadFilter) -> ByReason:
        """Dead rows by why they died. Looks at a bounded number of them: see ``ByReason.complete``."""

    def letters_by_reason(self, tenant: Tenant | None = None) -> ByReason:
        """Dead letters by why they are dead; the same bound."""

    def dead_letters(
        self, tenant: Tenant | None, limit: int, before: int | None = None, reason: str | None = None
    ) -> list[DeadLetterRow]:
        """Newest first. With a ``reason`` only so many are looked at as ``letters_by_reason`` counts."""

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None: ...

    def oldest_pending(self) -> datetime | None:
        """``not_before`` of the row that waits longest past its time; None if nothing is due."""

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        """(minute, event, count) of the counters, all tenants, oldest first. Events are ``Counter`` values.

        Of the tenants in sight, where not all are, and at most of as many minutes as are kept: a month's.
        """

    def quarters(self, since: datetime) -> list[tuple[datetime, str, int]]:
        """The same for quarters of an hour, the one of ``since`` first. ``Inbox.prune`` sums those that are over.

        So the work grows with the quarters asked for, not with tenants; but for what was not summed yet.
        """


@dataclass(frozen=True, slots=True)
class Store:
    """The three faces of one database."""

    inbox: Inbox
    registry: Registry
    reports: Reports

    def close(self) -> None:
        self.inbox.close()


Clock = Callable[[], datetime]


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """Open the store at ``url`` and check its schema. ``clock`` is for tests.

    Raises ``SchemaOutdated`` if `migrate` has to run first, ``StoreUnavailable`` if it cannot be opened.
    """
    if url.startswith(("postgresql://", "postgres://")):
        from subscriber.store import postgres

        return postgres.open_store(url, clock=clock)
    from subscriber.store import sqlite

    return sqlite.open_store(url, clock=clock)
