"""Table rows as the model's values and back. The only place that knows the order of columns.

Columns have the same names and meaning on every back end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
from subscriber.store.values import (
    AuditRow,
    Census,
    ChannelFact,
    ChannelRow,
    DeadLetterRow,
    Gap,
    RosterRow,
    Row,
    SubscriptionRow,
)

# An ordered row that waits for an earlier one may be *parked*: `not_before` is then so many milliseconds later than
# it was, in the year 8307 or beyond. Readers are told what it was. The same number as in migration 0004.
PARKED = 200_000_000_000_000

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
SUBSCRIPTION = (
    "tenants.platform, tenants.name, topic, subscriber, version, uri, subscriptions.state, detail, updated_at"
)
CHANNEL = "tenants.platform, tenants.name, channel, channels.name, channels.state, detail, channels.since, seen_at"
GAP = "gaps.platform, tenants.name, channel, lost_from, lost_until, reason, noticed_at"
AUDIT = "id, at, actor, action, detail"
ADDED_GAP = "platform, tenant_id, channel, lost_from, lost_until, reason, noticed_at"


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
        not_before=from_millis(not_before % PARKED),
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


def subscription(cells: Sequence[Any]) -> SubscriptionRow:
    """From the columns of SUBSCRIPTION."""
    platform, name, topic, subscriber, version, uri, state, detail, updated_at = cells
    return SubscriptionRow(
        tenant=Tenant(platform, name),
        topic=topic,
        subscriber=subscriber,
        version=version,
        uri=uri,
        state=state,
        detail=detail,
        updated_at=from_millis(updated_at),
    )


def roster_row(cells: Sequence[Any]) -> RosterRow:
    """From platform, name, state, member, missed and heard_at."""
    platform, name, state, member, missed, heard_at = cells
    return RosterRow(
        tenant=Tenant(platform, name),
        state=state,
        member=bool(member),
        missed=missed,
        heard_at=moment(heard_at),
    )


def census(rows: Sequence[Any]) -> Census:
    """From read_at, waiting and reconciled_at of the one row there may be."""
    read_at, waiting, reconciled_at = rows[0] if rows else (None, 0, None)
    return Census(read_at=moment(read_at), waiting=waiting, reconciled_at=moment(reconciled_at))


def channel(cells: Sequence[Any]) -> ChannelRow:
    """From the columns of CHANNEL."""
    platform, tenant, channel, name, state, detail, since, seen_at = cells
    return ChannelRow(
        tenant=Tenant(platform, tenant),
        channel=channel,
        name=name,
        state=state,
        detail=detail,
        since=from_millis(since),
        seen_at=from_millis(seen_at),
    )


def channel_columns(row: ChannelRow) -> tuple[object, ...]:
    """The columns of CHANNEL between the tenant and ``seen_at``."""
    return (row.channel, row.name, row.state, clipped(row.detail), to_millis(row.since))


def gap(cells: Sequence[Any]) -> Gap:
    """From the columns of GAP."""
    platform, name, channel, lost_from, lost_until, reason, noticed_at = cells
    return Gap(
        tenant=None if name is None else Tenant(platform, name),
        platform=platform,
        channel=channel,
        lost_from=from_millis(lost_from),
        lost_until=from_millis(lost_until),
        reason=reason,
        noticed_at=from_millis(noticed_at),
    )


def gap_columns(gap: Gap, tenant_id: int | None) -> tuple[object, ...]:
    """The columns of ADDED_GAP."""
    return (
        gap.platform,
        tenant_id,
        gap.channel,
        to_millis(gap.lost_from),
        to_millis(gap.lost_until),
        gap.reason,
        to_millis(gap.noticed_at),
    )


def audit_row(cells: Sequence[Any]) -> AuditRow:
    """From the columns of AUDIT."""
    id, at, actor, action, detail = cells
    return AuditRow(id=id, at=from_millis(at), actor=actor, action=action, detail=detail)


def names_to(names: frozenset[str]) -> str:
    """Names of sinks as one column: JSON, for they may contain anything; empty when there are none."""
    return json.dumps(sorted(names)) if names else ""


def names_from(text: str) -> frozenset[str]:
    return frozenset(json.loads(text)) if text else frozenset()


def settled(ids: Mapping[Tenant, int], facts: Iterable[ChannelFact]) -> dict[tuple[int, str, str], ChannelFact]:
    """By tenant's id, channel and name: of several facts the last, and of those that grow the greatest."""
    found: dict[tuple[int, str, str], ChannelFact] = {}
    for fact in facts:
        place = (ids[fact.tenant], fact.channel, fact.name)
        before = found.get(place)
        late = before is not None and fact.grows and b"" < fact.value < before.value
        if not late:
            found[place] = fact
    return found
