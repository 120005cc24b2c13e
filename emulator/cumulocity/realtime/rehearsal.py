"""A conversation to rehearse: which channels of the seed world to listen to, and what the rows mean.

Written as subscribers of this product read it (the setting ``C8Y_REALTIME``), with JSON paths, so that they can
create the collection of templates themselves. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from emulator.cumulocity.realtime.channels import OLD_AND_NEW
from emulator.cumulocity.realtime.sessions import Family

X_ID = "com.acme.freezer-v1"
ALARM: dict[str, Any] = {
    "id": "500",
    "condition": "$.data.severity",
    "values": {
        "action": "$.realtimeAction",
        "id": "$.data.id",
        "device": "$.data.source.id",
        "severity": "$.data.severity",
        "status": "$.data.status",
        "count": "$.data.count",
        "changed": "$.data.lastUpdated",
        "text": "$.data.text",
    },
    "topic": "alarms",
    "source": "device",
    "action": "action",
    "time": "changed",
    "key": ["id", "status", "count", "changed"],
}
TEMPERATURE: dict[str, Any] = {
    "id": "501",
    "condition": "$.data.c8y_Temperature",
    "values": {
        "action": "$.realtimeAction",
        "id": "$.data.id",
        "device": "$.data.source.id",
        "time": "$.data.time",
        "value": "$.data.c8y_Temperature.T.value",
    },
    "topic": "measurements",
    "source": "device",
    "action": "action",
    "time": "time",
    "key": ["id"],
}


def conversation(tenant: str) -> dict[str, object]:
    """One entry of the list of conversations."""
    return {
        "tenant": tenant,
        "path": OLD_AND_NEW[Family.REALTIME][0],
        "x_id": X_ID,
        "channels": ["/alarms/*", "/measurements/*"],
        "templates": [ALARM, TEMPERATURE],
    }


def as_stored(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A ledger item; a row of this conversation with the digest of the JSON that subscribers make of it."""
    if item.get("x_id") != X_ID:
        return item
    id, *values = row = item["content"]
    (columns,) = [list(one["values"]) for one in (ALARM, TEMPERATURE) if one["id"] == id]
    body = orjson.dumps({"xId": X_ID, "row": row, "values": dict(zip(columns, values, strict=True))})
    return {**item, "body_sha256": sha256(body).hexdigest()}
