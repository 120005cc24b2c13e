"""What has to be done so that what is remembered of a tenant's subscriptions becomes what should be. Pure.

The broker lists no subscriptions, so the store's rows are the only memory of what was asked for. A row says what the
broker answered last; the older that is, the less it is worth, so rows are confirmed at the broker now and then.

Follows "Receiving MindSphere Notifications": one subscription per tenant context, topic, subscriber and version; the
subscriptions of an older version stay until they are deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from subscriber.model import EPOCH, Tenant
from subscriber.store import SubscriptionRow

# A row in place is confirmed, and a stale one tried again, about once a day: 40,000 of them are a call every two
# seconds. Each has its own moment between half of this and one and a half, so that they do not fall due together.
CONFIRM_AFTER = timedelta(days=1)
VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Deliveries of a tenant's topic reach ``uri``, for one subscriber in one version."""

    tenant: Tenant
    topic: str
    subscriber: str
    version: str
    uri: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for it. ``why``: new, moved (its address changed), failed (the last time) or stale (its tenant is back)."""

    subscription: Subscription
    why: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Have it removed. ``why``: topic (not wanted any more), version (an older one's), tenant (not served any more)
    or asked (by a person)."""

    subscription: Subscription
    why: str


@dataclass(frozen=True, slots=True)
class Keep:
    """In place as far as we remember. ``due``: ask the broker whether it still is."""

    subscription: Subscription
    due: bool = False
    why: str = "keep"


Change = Subscribe | Unsubscribe | Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who subscribes to what and where deliveries go."""

    subscriber: str
    version: str
    uri: str


def plan(
    tenant: Tenant, topics: Sequence[str], target: Target, rows: Iterable[SubscriptionRow], now: datetime
) -> list[Change]:
    """The changes of one tenant, given its rows. ``topics`` empty: it is not served any more.

    First what is wanted, in the order of ``topics``, then what has to go. Rows of newer versions and of other
    subscribers are somebody else's. Stale rows are tried again when their day has come, and left out before.
    """
    remembered = {(row.topic, row.subscriber, row.version): row for row in rows}
    wanted: list[Change] = []
    for topic in dict.fromkeys(topics):
        row = remembered.pop((topic, target.subscriber, target.version), None)
        wanted.append(_wanted(_subscription(tenant, topic, target), row, now))
    leftovers = [_leftover(row, bool(topics), target, now) for row in remembered.values()]
    return [*wanted, *(change for change in leftovers if change is not None)]


def _wanted(subscription: Subscription, row: SubscriptionRow | None, now: datetime) -> Change:
    if row is None:
        return Subscribe(subscription, "new")
    if row.state != "active":
        return Subscribe(subscription, row.state)
    if row.uri != subscription.uri:
        return Subscribe(subscription, "moved")
    return Keep(subscription, due=is_due(row, now))


def _leftover(row: SubscriptionRow, served: bool, target: Target, now: datetime) -> Change | None:
    if row.subscriber != target.subscriber or row.state == "stale" and not is_due(row, now):
        return None
    if row.version == target.version:
        return Unsubscribe(of_row(row), "topic" if served else "tenant")
    return Unsubscribe(of_row(row), "version" if served else "tenant") if older(row.version, target.version) else None


def older(version: str, than: str) -> bool:
    """Does it come before? Versions read ``v1.4.2``, with or without a label; what reads otherwise is not older."""
    ours, theirs = VERSION.fullmatch(version), VERSION.fullmatch(than)
    return ours is not None and theirs is not None and _rank(ours) < _rank(theirs)


def _rank(match: re.Match[str]) -> tuple[int, int, int, bool, str]:
    """A labelled version comes before the same without a label."""
    major, minor, patch, label = match.groups()
    return int(major), int(minor), int(patch), label is None, label or ""


def is_due(row: SubscriptionRow, now: datetime) -> bool:
    """Is it time to ask again?"""
    name = "\0".join((*row.tenant, row.topic, row.version)).encode()
    share = int.from_bytes(blake2b(name, digest_size=2).digest(), "big") / 65536
    return now >= row.updated_at + CONFIRM_AFTER * (0.5 + share)


def _subscription(tenant: Tenant, topic: str, target: Target) -> Subscription:
    return Subscription(
        tenant=tenant, topic=topic, subscriber=target.subscriber, version=target.version, uri=target.uri
    )


def of_row(row: SubscriptionRow) -> Subscription:
    """What a row is about."""
    return Subscription(
        tenant=row.tenant, topic=row.topic, subscriber=row.subscriber, version=row.version, uri=row.uri
    )


def as_row(subscription: Subscription, state: str, detail: str = "") -> SubscriptionRow:
    """What to remember of it."""
    return SubscriptionRow(
        tenant=subscription.tenant,
        topic=subscription.topic,
        subscriber=subscription.subscriber,
        version=subscription.version,
        uri=subscription.uri,
        state=state,
        detail=detail,
        updated_at=EPOCH,  # the store sets it
    )
