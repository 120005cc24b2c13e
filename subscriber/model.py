"""The values everything else speaks. Start reading here.

All are immutable. Times are aware UTC datetimes cut to whole milliseconds, the finest unit the platforms print
and the stores keep. Words: see the glossary in README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

MINDSPHERE = "mindsphere"
CUMULOCITY = "cumulocity"
SMARTREST = "smartrest"
PELION = "pelion"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def to_millis(moment: datetime) -> int:
    """Whole milliseconds since 1970 of an aware datetime, rounded down."""
    return (moment - EPOCH) // MILLISECOND


def from_millis(millis: int) -> datetime:
    """The aware UTC datetime of whole milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=millis)


class Tenant(NamedTuple):
    """Whose data it is: a name is only unique on its platform, so the pair is the identity."""

    platform: str
    name: str

    def __str__(self) -> str:
        return f"{self.platform}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Tenant:
        """``platform/name``; a bare name is a MindSphere tenant."""
        platform, slash, name = text.partition("/")
        return cls(platform, name) if slash else cls(MINDSPHERE, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One transmission as it reached us. ``body`` is untrusted; header names are lower case."""

    platform: str
    headers: Mapping[str, str] = field(repr=False)  # may hold credentials
    body: bytes = field(repr=False)
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says. Only ``tokens.verify`` makes one."""

    issuer: str
    zone: str  # the part of the issuer that names the key server
    subject: str
    client_id: str  # empty if the token names none
    tenant: str  # the `ten` claim; empty if absent
    scopes: frozenset[str]
    person: bool  # a user's token, not a program's
    expires_at: datetime
    user_name: str = ""  # what a person is called there; empty for programs


class Identity(StrEnum):
    """What makes two notifications the same; decides what an equal key means."""

    ID = "id"  # the platform's own id: equal key, other content = conflict
    TIMED = "timed"  # content that carries its own publication or change time: equal key = duplicate
    CONTENT = "content"  # content without one: equal key may be a new fact, see Inbox.add


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One fact from a platform, addressed to one tenant."""

    tenant: Tenant
    key: bytes  # a function of the identity only; for CONTENT it ends with `repeat`, see with_repeat
    identity: Identity
    repeat: int = 0  # n when equal content came again as a new fact
    content: bytes | None = None  # digest of the canonical content; only where identity is ID
    topic: str
    channel: str = ""
    source: str = ""  # id of the object it is about; empty when there is not exactly one
    action: str = ""
    occurred_at: datetime | None = None  # as the platform says; None when it does not
    received_at: datetime
    body: bytes | None = field(repr=False)  # exact bytes as received; None once pruned

    @property
    def platform(self) -> str:
        return self.tenant.platform

    @property
    def payload(self) -> Any:
        """The parsed body; None once the body is pruned."""
        return None if self.body is None else orjson.loads(self.body)

    @property
    def id(self) -> str:
        """Unique over all tenants: ``{platform}.{tenant}.{key}``."""
        return f"{self.tenant.platform}.{self.tenant.name}.{self.key.hex()}"


REPEAT_BYTES = 4  # tail of a CONTENT key; 2**32 equal facts of one tenant within a horizon cannot happen


def with_repeat(stem: bytes, repeat: int) -> bytes:
    """The key of the n-th fact of equal content: all of them share the stem and sort by n."""
    return stem + repeat.to_bytes(REPEAT_BYTES, "big")


class Outcome(StrEnum):
    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"  # same id, other content: the first wins, this one is kept as a dead letter
    ERASED = "erased"  # the tenant was erased: counted, not stored


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one notification handed to ``Inbox.add``. All outcomes are acknowledged."""

    tenant: Tenant
    key: bytes  # the final key, with its repeat number
    outcome: Outcome


class State(StrEnum):
    """State of an inbox row, with who moves it on."""

    PENDING = "pending"  # waits for its time (`not_before`); the dispatcher leases it
    RUNNING = "running"  # leased; settled by its holder, or taken over when the lease has run out
    DONE = "done"  # handled; an operator may replay it
    DEAD = "dead"  # out of attempts, given up or unrouted; an operator may replay it


class Lane(NamedTuple):
    """The finest queue the dispatcher chooses from: fairness and pauses work on lanes."""

    tenant: Tenant
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a handler: the right to work on a row until ``lease_until``."""

    seq: int  # the row
    notification: Notification
    number: int  # from 1
    lease_until: datetime
    lease: int  # fencing number: a later lease of the same row has a higher one
    sinks_done: frozenset[str] = frozenset()  # what succeeded in earlier attempts


@dataclass(frozen=True, slots=True)
class Done:
    """Handled. ``reason`` says so when it was settled without its handler (e.g. ``superseded``)."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now; again at ``at`` (None: by the retry policy), unless the attempts run out."""

    at: datetime | None = None
    reason: str = "retry"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Dead:
    """Give up: no attempt will help. An operator may replay it."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now, through no fault of the notification: again at ``at``, and this attempt does not count."""

    at: datetime
    reason: str
    detail: str = ""


Decision = Done | Retry | Dead | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A verified delivery, or an item of one, that could not become a notification."""

    tenant: Tenant
    reason: str  # slug
    detail: str  # for people, at most DETAIL_CHARS
    digest: bytes  # with tenant and reason the identity: a redelivery only raises the row's count
    body: bytes | None = field(repr=False)  # None where policy refused to read it
    key: bytes | None = None  # of the notification it collides with, if any
    buried_at: datetime


DETAIL_CHARS = 500  # text from strangers that rows, pages and logs keep: one screen line or six

Params = Mapping[str, str | int | Sequence[str]]  # of a query; a list repeats its name
