"""Small factories whose defaults are valid, so that a test shows only what matters, and a clock that stands still."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from subscriber.model import Attempt, DeadLetter, Identity, Lane, Notification, Tenant, with_repeat
from subscriber.store import ChannelFact, ChannelRow, Store

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # for thousands of databases, none of them for long
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACME = Tenant("mindsphere", "custaa")
OTHER = Tenant("mindsphere", "custbb")
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"


class Clock:
    """Says what it was told."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def key(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()


def notification(
    name: str = "one",
    *,
    tenant: Tenant = ACME,
    identity: Identity = Identity.TIMED,
    content: bytes | None = None,
    topic: str = TOPIC,
    source: str = "asset-1",
    action: str = "UPDATE",
    occurred_at: datetime | None = START,
    received_at: datetime = START,
    body: bytes | None = b'{"a":1}',
) -> Notification:
    return Notification(
        tenant=tenant,
        key=with_repeat(key(name), 0) if identity is Identity.CONTENT else key(name),
        identity=identity,
        content=content,
        topic=topic,
        source=source,
        action=action,
        occurred_at=occurred_at,
        received_at=received_at,
        body=body,
    )


def several(count: int, *, prefix: str = "n", tenant: Tenant = ACME, topic: str = TOPIC) -> list[Notification]:
    return [notification(f"{prefix}{number}", tenant=tenant, topic=topic) for number in range(count)]


def letter(name: str = "one", *, tenant: Tenant = ACME, detail: str = "not JSON", at: datetime = START) -> DeadLetter:
    return DeadLetter(tenant=tenant, reason="malformed", detail=detail, digest=key(name), body=b"{", buried_at=at)


def fact(
    value: bytes = b"seen",
    *,
    tenant: Tenant = ACME,
    channel: str = "c",
    name: str = "client",
    grows: bool = False,
) -> ChannelFact:
    return ChannelFact(tenant, channel, name, value, grows)


def channel(
    name: str = "client",
    *,
    tenant: Tenant = ACME,
    channel: str = "c",
    state: str = "connected",
    detail: str = "",
    since: datetime = START,
) -> ChannelRow:
    return ChannelRow(
        tenant=tenant, channel=channel, name=name, state=state, detail=detail, since=since, seen_at=START
    )


def lease_one(store: Store, *, seconds: float = 30.0) -> Attempt:
    """The attempt of the only due row."""
    (attempt,) = store.inbox.lease(store.inbox.lanes(), 10, seconds)
    return attempt


def lease_all(store: Store, limit: int = 100, *, seconds: float = 30.0) -> list[Attempt]:
    return store.inbox.lease(store.inbox.lanes(), limit, seconds)


def lease_ordered(store: Store, limit: int = 100, *, over: Sequence[str] = ("*",)) -> list[Attempt]:
    """The same, every lane in order over the topics that these patterns match."""
    lanes = store.inbox.lanes()
    return store.inbox.lease(lanes, limit, 30.0, dict.fromkeys(lanes, over))


def lane(tenant: Tenant = ACME, topic: str = TOPIC) -> Lane:
    return Lane(tenant, topic)
