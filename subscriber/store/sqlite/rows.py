"""Table rows as the model's values and back. The only place that knows the order of columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from subscriber.model import (
    DETAIL_CHARS,
    Attempt,
    DeadLetter,
    Identity,
    Notification,
    State,
    Tenant,
    from_millis,
    to_millis,
)
from subscriber.store import DeadLetterRow, Row

# What `add` says of a new row, before the tenant's id and the time it may start; the rest are defaults.
ADDED = (
    "key, repeat, identity, topic, channel, source, action, occurred_at, received_at, content, body, "
    "tenant_id, not_before"
)
NOTIFICATION = (
    "tenants.platform, tenants.name, inbox.key, identity, repeat, content, topic, channel, source, action, "
    "occurred_at, inbox.received_at, body"
)
ROW = f"inbox.seq, inbox.state, attempts, not_before, settled_at, reason, detail, sinks_done, {NOTIFICATION}"
ATTEMPT = f"inbox.seq, attempts, lease_until, lease, sinks_done, {NOTIFICATION}"
DEAD_LETTER = (
    "dead_letters.id, count, last_at, tenants.platform, tenants.name, reason, detail, digest, body, key, buried_at"
)


def moment(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def clipped(detail: str) -> str:
    """Text for people, whoever wrote it, as every column takes it: not long, no half characters, no NUL."""
    return detail[:DETAIL_CHARS].replace("\0", "?").encode("utf-8", "replace").decode()


def added(notification: Notification) -> tuple[object, ...]:
    """The columns of ADDED up to the tenant."""
    occurred_at = notification.occurred_at
    return (
        notification.key,
        notification.repeat,
        notification.identity,
        notification.topic,
        notification.channel,
        notification.source,
        notification.action,
        None if occurred_at is None else to_millis(occurred_at),
        to_millis(notification.received_at),
        notification.content,
        notification.body,
    )


def notification(cells: Sequence[Any]) -> Notification:
    """From the columns of NOTIFICATION."""
    platform, name, key, identity, repeat, content, topic, channel, source, action, occurred, received, body = cells
    return Notification(
        tenant=Tenant(platform, name),
        key=key,
        identity=Identity(identity),
        repeat=repeat,
        content=content,
        topic=topic,
        channel=channel,
        source=source,
        action=action,
        occurred_at=moment(occurred),
        received_at=from_millis(received),
        body=body,
    )


def row(cells: Sequence[Any]) -> Row:
    """From the columns of ROW."""
    seq, state, attempts, not_before, settled_at, reason, detail, sinks_done, *rest = cells
    return Row(
        seq=seq,
        notification=notification(rest),
        state=State(state),
        attempts=attempts,
        not_before=from_millis(not_before),
        settled_at=moment(settled_at),
        reason=reason,
        detail=detail,
        sinks_done=names_from(sinks_done),
    )


def attempt(cells: Sequence[Any]) -> Attempt:
    """From the columns of ATTEMPT."""
    seq, attempts, lease_until, lease, sinks_done, *rest = cells
    return Attempt(
        seq=seq,
        notification=notification(rest),
        number=attempts,
        lease_until=from_millis(lease_until),
        lease=lease,
        sinks_done=names_from(sinks_done),
    )


def dead_letter(cells: Sequence[Any]) -> DeadLetterRow:
    """From the columns of DEAD_LETTER."""
    id, count, last_at, platform, name, reason, detail, digest, body, key, buried_at = cells
    letter = DeadLetter(
        tenant=Tenant(platform, name),
        reason=reason,
        detail=detail,
        digest=digest,
        body=body,
        key=key,
        buried_at=from_millis(buried_at),
    )
    return DeadLetterRow(id=id, letter=letter, count=count, last_at=from_millis(last_at))


def names_to(names: frozenset[str]) -> str:
    """Names of sinks as one column: JSON, for they may contain anything; empty when there are none."""
    return json.dumps(sorted(names)) if names else ""


def names_from(text: str) -> frozenset[str]:
    return frozenset(json.loads(text)) if text else frozenset()
