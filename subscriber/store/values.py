"""The values that the store's contract speaks of, beside the model's.

All are immutable; times are aware UTC datetimes. ``store`` hands them on: import them from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from subscriber.model import DeadLetter, Notification, State, Tenant

# Far more than any channel remembers, and small beside one batch.
CHANNEL_FACT_BYTES = 1 << 20


class Counter:
    """What ``minutes`` counts."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    ERASED = "erased"
    DEAD_LETTER = "dead_letter"
    REFUSED = "refused"  # of strangers: counted for no tenant
    DONE = "done"
    DEAD = "dead"
    RETRY = "retry"


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
    platform: str | None = None
    topic: str | None = None
    source: str | None = None
    state: State | None = None
    reason: str | None = None  # why a row ended, or was put back
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
class DeadFilter:
    """Which dead rows; None means any."""

    tenant: Tenant | None = None
    reason: str | None = None
    since: datetime | None = None  # when it died, inclusive
    until: datetime | None = None  # exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """How many have the same reason, and when the first and the last of them came to it."""

    reason: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ByReason:
    """Counts by reason, the largest first. ``complete`` False: more rows than were looked at, so each is a least."""

    reasons: list[ReasonCount]
    complete: bool

    @property
    def count(self) -> int:
        return sum(one.count for one in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """Who did what, and when."""

    id: int
    at: datetime
    actor: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Tail:
    """Rows in order of arrival, and the cursor to go on with. A cursor's text is the store's own business.

    ``behind`` are the cursors behind each of the rows, for whoever may have to go on in the middle. ``more``: the
    look ended where a look has to end, and not with what there is.
    """

    rows: list[Row]
    cursor: str
    behind: list[str]
    more: bool


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
    """What was published in this time may never have come, and will not come again.

    ``reason`` says why. ``away``: the service was, for longer than the platform keeps trying. Where the platform
    keeps nothing beyond a session: ``session_lost``, with what that held and until the next one; ``answer_lost``, it
    is sent only once, and did not arrive whole.
    """

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


@dataclass(frozen=True, slots=True)
class ChannelFact:
    """What a channel has to remember as long as its notifications, and is written with them: all or nothing.

    ``value`` is the channel's own business, at most ``CHANNEL_FACT_BYTES``; empty forgets it. One that ``grows`` is
    not written over one that is greater, byte by byte: whoever stood still for a while knows less than the others.
    """

    tenant: Tenant
    channel: str
    name: str  # who of the channel remembers: a consumer's client, for example
    value: bytes
    grows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """One long-lived connection as operators see it."""

    tenant: Tenant
    channel: str
    name: str  # the client's, where several share a channel; else empty
    state: str  # "connecting", "connected", "waiting" (until it is tried again) or "stopped" (a person has to act)
    detail: str  # why it is not connected
    since: datetime  # in this state
    seen_at: datetime  # when its process last said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of ``check``: ``ok`` False means the operator has to act."""

    name: str
    ok: bool
    detail: str
