"""MindSphere / Insights Hub: what the Message Broker's webhook deliveries mean.

Pure: no I/O, no clock. Follows "Receiving MindSphere Notifications" and the Async API pages of the asset, event and
time-series services. One delivery is one JSON document: ``header`` (topic and tenant context) and one payload
member, named by the publisher (form A). The reading that puts topic and tenant context into HTTP headers and leaves
only the payload in the body is tolerated (form B; not stated anywhere, a guess kept by a test).

The platform's words and ours: tenant context → tenant, topic → topic, ``id`` of the object → source,
``action`` → action, the latest ``timestamp`` or ``to`` → occurred_at.

No published sample carries a message id, so what makes two notifications the same depends on what the body says:

- a message id header, should the platform send one: the id;
- a body with its own publication or change time: the content;
- otherwise (events, whose update reads like their create, and topics we do not know): the content and how often it
  came as a new fact. The store decides that, see ``Inbox.add``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from subscriber.errors import MalformedDelivery
from subscriber.model import MINDSPHERE, Delivery, Identity, Notification, Tenant, with_repeat
from subscriber.platforms.content import (
    NAME_CHARS,
    NO_TIME,
    content_digest,
    id_digest,
    moment,
    parse_object,
    short_name,
    time_bytes,
)

TOPIC_HEADER = "x-mdsp-topic"
TENANT_HEADER = "x-mdsp-tenant-context"
MESSAGE_ID_HEADER = "x-mdsp-message-id"

MAX_TENANTS = 100  # every tenant of a context gets a row with the whole body; samples show one
TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # wider than today's rule, the platform is moving


class Shape(NamedTuple):
    """How one publisher's payload is read. ``times`` empty: it does not say when it was published or changed."""

    member: str  # name of the payload member
    source: str  # member that names the object
    times: tuple[str, ...]  # members that say when the fact was published or changed
    occurred: tuple[str, ...]  # members that say when it happened


# An event's `timestamp` is the event's own time: the update of an event repeats it, so it is no publication time.
SHAPES = (
    Shape("asset", source="id", times=("timestamp",), occurred=("timestamp",)),
    Shape("aspectType", source="id", times=("timestamp",), occurred=("timestamp",)),
    Shape("assetType", source="id", times=("timestamp",), occurred=("timestamp",)),
    Shape("timeseries", source="assetId", times=("timestamp", "to"), occurred=("timestamp", "to")),
    Shape("provisioning", source="userTenant", times=("timestamp",), occurred=("timestamp",)),
    Shape("events", source="assetId", times=(), occurred=("timestamp",)),
)
UNKNOWN = Shape("", source="", times=(), occurred=())


def decode(delivery: Delivery) -> list[Notification]:
    """One notification per tenant of the context, at least one.

    Raises ``MalformedDelivery``; its ``tenants`` are those of the context where that much could be read.
    """
    document = parse_object(delivery.body)
    topic, tenants, content = _envelope(document, delivery)
    try:
        shape, items = _payload(content)
        key, identity, digest = _identify(topic, content, shape, items, delivery)
        source = _common(items, shape.source)
        action = _common(items, "action")
        occurred_at = _latest(items, shape.occurred)
    except MalformedDelivery as error:
        error.tenants = tenants
        raise
    return [
        Notification(
            tenant=Tenant(MINDSPHERE, name),
            key=key,
            identity=identity,
            content=digest,
            topic=topic,
            source=source,
            action=action,
            occurred_at=occurred_at,
            received_at=delivery.received_at,
            body=delivery.body,
        )
        for name in tenants
    ]


def _envelope(document: dict[str, Any], delivery: Delivery) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """Topic, tenant names and content, in either wire form."""
    header = document.get("header")
    if isinstance(header, dict):
        topic, context = header.get("topic"), header.get("tenantContext")
        content = {name: value for name, value in document.items() if name != "header"}
    else:
        topic = delivery.headers.get(TOPIC_HEADER)
        context = [name.strip() for name in delivery.headers.get(TENANT_HEADER, "").split(",")]
        content = document
    tenants = _tenants(context)
    if not isinstance(topic, str) or not 0 < len(topic) <= NAME_CHARS or not topic.isprintable():
        error = MalformedDelivery("no usable topic", reason="topic")
        error.tenants = tenants
        raise error
    return topic, tenants, content


def _tenants(context: object) -> tuple[str, ...]:
    if not isinstance(context, list) or not 0 < len(context) <= MAX_TENANTS:
        raise MalformedDelivery("no usable tenant context", reason="tenant_context")
    for name in context:
        if not isinstance(name, str) or not TENANT_NAME.fullmatch(name):
            raise MalformedDelivery("the tenant context holds what is no tenant name", reason="tenant_context")
    return tuple(dict.fromkeys(context))


def _payload(content: dict[str, Any]) -> tuple[Shape, list[dict[str, Any]]]:
    """The shape of the payload and its items; members we do not know are nobody's business."""
    for shape in SHAPES:
        value = content.get(shape.member)
        if value is not None:
            items = value if isinstance(value, list) else [value]
            return shape, [item for item in items if isinstance(item, dict)]
    return UNKNOWN, []


def _identify(
    topic: str, content: dict[str, Any], shape: Shape, items: Sequence[dict[str, Any]], delivery: Delivery
) -> tuple[bytes, Identity, bytes | None]:
    """Key, kind of identity, and the content's digest where an id stands for it."""
    digest = content_digest(topic, content)  # the tenant is not in it, it is in the key
    message_id = delivery.headers.get(MESSAGE_ID_HEADER)
    if message_id:
        return id_digest(message_id), Identity.ID, digest
    published = time_bytes(_latest(items, shape.times))
    if published != NO_TIME:
        return published + digest, Identity.TIMED, None
    stem = time_bytes(_latest(items, shape.occurred)) + digest
    return with_repeat(stem, 0), Identity.CONTENT, None


def _common(items: Sequence[dict[str, Any]], member: str) -> str:
    """The text that all items share, else empty: a batch about several objects is about none of them."""
    texts = {text if isinstance(text := item.get(member), str) else "" for item in items}
    if len(texts) != 1:
        return ""
    return short_name(texts.pop(), member)


def _latest(items: Sequence[dict[str, Any]], members: Sequence[str]) -> datetime | None:
    moments = [found for item in items for member in members if (found := moment(item.get(member)))]
    return max(moments, default=None)
