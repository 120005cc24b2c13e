"""A notification as the tenant's applications see it, with its schema beside it.

Payloads are handed on as they were received, not parsed and written anew: JSON stays what the platform said. What
only operators may know (errors of handlers, who else received it) is not in it.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import orjson

from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST, State
from subscriber.store import Row

Json = dict[str, Any]


def item(row: Row) -> Json:
    """For ``orjson``: the payload is a fragment of JSON, null once it is pruned."""
    notification = row.notification
    body = notification.body
    return {
        "id": notification.id,
        "platform": notification.platform,
        "tenant": notification.tenant.name,
        "key": notification.key.hex(),
        "repeat": notification.repeat,
        "topic": notification.topic,
        "channel": notification.channel,
        "source": notification.source,
        "action": notification.action,
        "occurred_at": None if notification.occurred_at is None else moment(notification.occurred_at),
        "received_at": moment(notification.received_at),
        "state": str(row.state),
        "attempts": row.attempts,
        "settled_at": None if row.settled_at is None else moment(row.settled_at),
        "reason": row.reason,
        "payload": None if body is None else orjson.Fragment(body),
    }


def detailed(row: Row) -> Json:
    """The same, and the exact bytes."""
    body = row.notification.body
    return item(row) | {"body": None if body is None else b64encode(body).decode()}


def size(row: Row) -> int:
    """Bytes that make an item large or small."""
    return len(row.notification.body or b"")


def moment(time: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(help: str, empty: str = "") -> Json:
    kind: Json = {"type": ["string", "null"] if empty else "string", "format": "date-time"}
    return kind | {"description": f"{help}; null {empty}" if empty else help}


def _text(help: str) -> Json:
    return {"type": "string", "description": help}


PAYLOAD: Json = {"description": "as the platform sent it; null once its retention has ended"}
PROPERTIES: Json = {
    "id": _text("unique over all tenants: platform.tenant.key; stays the same in deliveries to receivers"),
    "platform": {"type": "string", "enum": [MINDSPHERE, CUMULOCITY, SMARTREST, PELION]},
    "tenant": _text("whose it is, on its platform"),
    "key": {"type": "string", "pattern": "^([0-9a-f]{2})+$", "description": "with platform and tenant its address"},
    "repeat": {"type": "integer", "minimum": 0, "description": "n when equal content came again as a new fact"},
    "topic": _text("what was published"),
    "channel": _text("the long-lived connection it arrived on; empty for webhooks"),
    "source": _text("id of the object it is about; empty if there is not exactly one"),
    "action": _text("what happened to the object; empty if the platform does not say"),
    "occurred_at": _time("when it happened", "if the platform does not say"),
    "received_at": _time("when it arrived here"),
    "state": {"type": "string", "enum": [str(state) for state in State]},
    "attempts": {"type": "integer", "minimum": 0, "description": "how often it was tried to handle it"},
    "settled_at": _time("when it was done or dead", "while it is neither"),
    "reason": _text("why it waits, is dead or was settled unhandled; a slug, often empty"),
    "payload": PAYLOAD,
}
BODY: Json = {
    "type": ["string", "null"],
    "contentEncoding": "base64",
    "description": "the exact bytes as received; null once their retention has ended",
}


def schema(properties: Json) -> Json:
    """An object with exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


NOTIFICATION = schema(PROPERTIES)
DETAILED = schema(PROPERTIES | {"body": BODY})
