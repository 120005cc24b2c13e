"""The store's contract, stated once; ``sqlite.py`` implements it.

Rules that every back end keeps:

- Whatever a method writes, it writes in one durable transaction, and it returns after the commit.
- The unique key (tenant, key) of the inbox is the deduplication: the insert answers, nothing looks first.
- No statement on tenant data lacks the tenant, except the dispatcher's lease.
- The clock is the store's: callers never say what time it is.
- Library errors never leave the store: ``StoreBusy``, ``StoreUnavailable`` or ``SchemaOutdated`` do.
- All objects may be used from many threads; after ``os.fork`` a child opens its own store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from subscriber.model import (
    Attempt,
    DeadLetter,
    Decision,
    Lane,
    Notification,
    Receipt,
    State,
    Tenant,
)

EXPECTED_MIGRATION = "0003_credentials"

# An event that comes again within this time of its first acceptance is the broker sending again, not the platform
# publishing again: publishing happens at 1-minute intervals (reference, section 3.3).
REPEAT_WINDOW = timedelta(seconds=60)


class TenantState:
    """States of a tenant row. ACTIVE: served. LEAVING: gone from the list, data kept. GONE: erased, a tombstone."""

    ACTIVE = "active"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One inbox row as readers see it."""

    seq: int
    notification: Notification
    state: State
    attempts: int
    not_before: datetime
    settled_at: datetime | None
    reason: str
    detail: str
    sinks_done: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """One dead letter as readers see it. ``count`` deliveries of it were seen, the last at ``last_at``."""

    id: int
    letter: DeadLetter
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """`inbox counts`. ``done`` and ``duplicates`` are totals that never fall, the others are rows now."""

    pending: int
    running: int
    done: int
    dead: int
    duplicates: int
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """Which rows to list; None and empty mean any. Names are exact."""

    tenant: Tenant | None = None
    topic: str | None = None
    source: str | None = None
    state: State | None = None
    since: datetime | None = None  # received_at, inclusive
    until: datetime | None = None  # received_at, exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows newest first. ``next`` is the ``before`` of the next page, None at the end.

    ``scanned_to`` is the received_at down to which the search looked: a filter without an index looks at a bounded
    number of rows, so a page may be short, even empty, and still have a next one.
    """

    rows: list[Row]
    next: int | None
    scanned_to: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What ``prune`` may forget, as ages."""

    horizon: timedelta  # keys are remembered this long after reception, whatever else is pruned
    payload: timedelta  # bodies of done rows, after they settled
    dead: timedelta  # dead rows and dead letters
    tombstone: timedelta  # tenants that are gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    bodies: int
    rows: int
    dead_letters: int
    tenants: int

    @property
    def anything(self) -> bool:
        """Is there perhaps more to prune?"""
        return bool(self.bodies or self.rows or self.dead_letters or self.tenants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """An operator stopped handling (not accepting) of a ``kind`` (tenant, platform or topic) named ``name``."""

    kind: str
    name: str  # for a tenant: platform/name
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The service was away longer than the platform keeps trying: what fell into it cannot be fetched."""

    tenant: Tenant | None  # None: all tenants of the platform
    platform: str
    channel: str
    lost_from: datetime
    lost_until: datetime
    reason: str
    noticed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    tenant: Tenant
    state: str  # one of TenantState
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRow:
    """What we asked a platform for, and what came of it: the only list of our subscriptions there is."""

    tenant: Tenant
    topic: str
    subscriber: str
    version: str
    uri: str
    state: str  # "active", "failed" or "stale"
    detail: str  # why it is not active
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Proof of holding a lock; ``number`` is what ``acquire`` gave. What carries an old one is not written."""

    name: str
    holder: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow:
    """A tenant, and what its platform has said about it in lists and in the notices of its provisioning topic."""

    tenant: Tenant
    state: str  # one of TenantState; empty while we have nothing else of it
    member: bool  # was in a list, or announced as having come; only members are served and can leave
    missed: int  # complete lists in a row without it
    heard_at: datetime | None  # when the newest notice about it was published


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What was last read and done about a platform's user tenants. Times are None until there was one."""

    read_at: datetime | None  # when reading the last complete list began
    waiting: int  # tenants it lacks that nobody lets go before a person has agreed
    reconciled_at: datetime | None  # when a run last ended with every subscription in place


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterUpdate:
    """What one list of user tenants changes."""

    present: Sequence[Tenant] = ()  # members from now on and active, unless they are gone; nothing missed
    missing: Sequence[Tenant] = ()  # one more complete list without them
    leaving: Sequence[Tenant] = ()  # served no longer; what is remembered of their subscriptions becomes stale


@dataclass(frozen=True, slots=True)
class Passage:
    """A tenant that came or went, and the team has not been told."""

    tenant: Tenant
    joined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of ``check``: ``ok`` False means the operator has to act."""

    name: str
    ok: bool
    detail: str


class Submission(Protocol):
    """Notifications on their way into the store."""

    def receipts(self) -> list[Receipt]:
        """Wait for what ``add`` returns, or raise as it does. The 5 s count from ``Inbox.submit``."""

    def when_done(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once ``receipts`` need not wait: at once, or later from the committing thread.

        It must neither block nor take long: nobody's notifications are committed meanwhile. If the turn to write
        does not come, it is never called: ask for ``receipts`` when the 5 s are over.
        """


class Inbox(Protocol):
    """Accepting, leasing, settling. The hot path."""

    def add(self, notifications: Sequence[Notification], dead_letters: Sequence[DeadLetter] = ()) -> list[Receipt]:
        """Keep what is new, all of it or nothing, and return one receipt per notification, in order.

        Calls that wait at the same time share a commit. On an equal (tenant, key):

        - ``Identity.TIMED``: DUPLICATE.
        - ``Identity.ID``: DUPLICATE if ``content`` is equal or unknown, else CONFLICT: the first wins, this one
          becomes a dead letter ``conflicting_duplicate`` in the same transaction.
        - ``Identity.CONTENT``: DUPLICATE while the latest copy is not settled (pending, running), or within
          ``REPEAT_WINDOW`` of that copy's acceptance; otherwise NEW with the next repeat number and key.

        Unknown tenants become active ones. For a tenant that is gone: ERASED, nothing is stored.
        A dead letter with the same tenant, reason and digest only raises that row's count.
        The counters of ``minutes`` are written in the same transaction.
        Raises ``StoreBusy`` after 5 s of waiting (nothing is stored then), ``StoreUnavailable``; the latter with the
        reason ``unstorable`` if a value fits no column, which codecs see to: nobody else's call suffers from it.
        """

    def submit(self, notifications: Sequence[Notification], dead_letters: Sequence[DeadLetter] = ()) -> Submission:
        """As ``add``, without waiting: a server can free its thread and answer when the commit is done."""

    def lanes(self) -> list[Lane]:
        """The lanes that have a pending row whose time has come, or a lease that ran out."""

    def lease(self, lanes: Sequence[Lane], limit: int, seconds: float) -> list[Attempt]:
        """Lease up to ``limit`` due rows of these lanes, taking turns between lanes in the given order.

        The oldest due row of a lane goes first. Rows whose lease ran out are due again; their attempt has counted.
        A leased row is nobody else's until ``seconds`` have passed.
        """

    def extend(self, attempt: Attempt, seconds: float) -> bool:
        """Move the lease's end to now + ``seconds``. False if the lease was lost."""

    def settle(self, attempt: Attempt, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> bool:
        """End an attempt by its decision and remember which sinks have succeeded. False if the lease was lost.

        ``Done`` and ``Dead`` end the row. ``Retry`` (with ``at`` set) puts it back, ``Hold`` as well, without
        counting the attempt. Calls that wait at the same time share a commit.
        """

    def superseded(self, notification: Notification) -> bool:
        """Is a row of the same tenant, topic and source in, whatever its state, with a later ``occurred_at``?"""

    def replay(self, tenant: Tenant, keys: Sequence[bytes]) -> int:
        """Put done or dead rows back to pending with fresh attempts. Returns how many were moved.

        A row that was done is handled anew, sinks included; one that was dead repeats only what has not succeeded.
        """

    def replay_dead(self, tenant: Tenant | None, reason: str | None) -> int:
        """The same for all dead rows of a tenant (None: every tenant) and reason (None: any)."""

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

    def add_gap(self, gap: Gap) -> None: ...

    def gaps(self, limit: int = 100) -> list[Gap]: ...

    def acquire(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or keep the named lock for ``seconds``. A fencing number that only grows, None if another has it."""

    def release(self, name: str, holder: str) -> None: ...

    def audit(self, actor: str, action: str, detail: str) -> None:
        """Remember who did what."""


class Reports(Protocol):
    """Read only. Sees what is committed, never blocks a writer."""

    def counts(self, tenant: Tenant | None = None) -> Counts:
        """Work does not grow with the number of done rows."""

    def rows(self, wanted: RowFilter, limit: int, before: int | None = None) -> Page: ...

    def row(self, tenant: Tenant, key: bytes) -> Row | None: ...

    def dead_letters(self, tenant: Tenant | None, limit: int, before: int | None = None) -> list[DeadLetterRow]: ...

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None: ...

    def oldest_pending(self) -> datetime | None:
        """``not_before`` of the row that waits longest past its time; None if nothing is due."""

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        """(minute, event, count) of the counters, all tenants, oldest first. Events are ``Counter`` values."""


class Counter:
    """What ``minutes`` counts."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    ERASED = "erased"
    DEAD_LETTER = "dead_letter"
    DONE = "done"
    DEAD = "dead"
    RETRY = "retry"


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
    from subscriber.store import sqlite

    return sqlite.open_store(url, clock=clock)
