"""What payloads look like, per topic, as JSON Schema (2020-12): the codecs' counterpart for readers.

Open schemas: they say what is usually there and never what must not be, since publishers add members when they like.
Follows the same sources as the codecs beside it; where a platform publishes nothing, the schema says little. Codecs
do not check against these: a notification that looks different is kept like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
TIME: Json = {"type": "string", "format": "date-time"}
ANYTHING: Json = {}


def _object(needed: Json, **more: Json) -> Json:
    return {"type": "object", "properties": needed | more, "required": list(needed)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


# MindSphere: one document a notification, `header` beside one member that the publisher names.
HEADER = _object({"topic": TEXT, "tenantContext": _list(TEXT)})
CHANGE = _object({"id": TEXT, "action": TEXT, "timestamp": TIME}, resource=TEXT, tenant=TEXT)
EVENT = _object({"id": TEXT, "assetId": TEXT, "timestamp": TIME})
WINDOW = _object({"assetId": TEXT, "aspectName": TEXT, "from": TIME, "to": TIME}, aspectTypeId=TEXT, timestamp=TIME)
PROVISIONED = _object(
    {"action": TEXT, "userTenant": TEXT},
    id=TEXT,
    resource=TEXT,
    tenant=TEXT,
    application=_object({}, name=TEXT, version=TEXT),
    timestamp=TIME,
)
# Publisher's part of the topic's name → name and shape of its member.
PUBLISHED = (
    (".assetmanagement.v1.pubsub.aspecttype.", "aspectType", CHANGE),
    (".assetmanagement.v1.pubsub.assettype.", "assetType", CHANGE),
    (".assetmanagement.v1.pubsub.asset.", "asset", CHANGE),
    (".eventmanagement.v1.pubsub.eventnotification", "events", _list(EVENT)),
    (".timeseries.v1.pubsub.data.ingest", "timeseries", _list(WINDOW)),
    (".provisioning.v1.pubsub.application.", "provisioning", PROVISIONED),
)


def mindsphere(topic: str) -> Json:
    """Of a topic of the Message Broker."""
    for part, member, shape in PUBLISHED:
        if part in topic:
            return _object({member: shape}, header=HEADER)
    return _object({}, header=HEADER)


# Cumulocity: the object itself as its REST interface shows it; a deletion is its id alone.
SOURCE = _object({"id": TEXT})
RECORD = _object({}, id=TEXT, type=TEXT, source=SOURCE, time=TIME, lastUpdated=TIME)
CUMULOCITY_TOPICS: Json = {
    "alarms": RECORD | {"properties": RECORD["properties"] | {"text": TEXT, "severity": TEXT, "status": TEXT}},
    "events": RECORD | {"properties": RECORD["properties"] | {"text": TEXT}},
    "measurements": RECORD,
    "managedobjects": _object({}, id=TEXT, type=TEXT, name=TEXT, lastUpdated=TIME),
    "operations": _object({}, id=TEXT, deviceId=TEXT, status=TEXT, creationTime=TIME),
}
# Anything that is JSON may be the body of a notification there.
CUMULOCITY_SHAPES: Json = {topic: {"anyOf": [shape, TEXT]} for topic, shape in CUMULOCITY_TOPICS.items()}

# SmartREST: the row as it came, and its columns by the names that a template of ours gives them.
CELLS: Json = {"type": "object", "additionalProperties": TEXT}
SMARTREST_SHAPE = _object({"xId": TEXT, "row": _list(TEXT), "values": CELLS})

# Pelion: one item of a batch (Service API, notification data).
ENDPOINT = _object({"ep": TEXT}, ept=TEXT)
RESOURCE = _object({"ep": TEXT, "path": TEXT}, ct=TEXT, payload=TEXT, timestamp=ANYTHING, uid=TEXT)
REGISTRATION = ENDPOINT | {"properties": ENDPOINT["properties"] | {"resources": _list(_object({}, path=TEXT))}}
PELION_SHAPES: Json = {
    "notifications": RESOURCE,
    "registrations": REGISTRATION,
    "reg-updates": REGISTRATION,
    "de-registrations": ANYTHING,
    "registrations-expired": ANYTHING,
    "async-responses": _object({"id": TEXT}, status=ANYTHING, payload=TEXT, ct=TEXT),
}


def arriving(platforms: Sequence[str], topics: Sequence[str]) -> dict[tuple[str, str], Json]:
    """(platform, topic) → schema of its payloads. ``topics`` are MindSphere's, the others have their own."""
    found = {
        MINDSPHERE: {topic: mindsphere(topic) for topic in topics},
        CUMULOCITY: CUMULOCITY_SHAPES,
        SMARTREST: dict.fromkeys(CUMULOCITY_TOPICS, SMARTREST_SHAPE),
        PELION: PELION_SHAPES,
    }
    return {(platform, topic): shape for platform in platforms for topic, shape in found[platform].items()}
