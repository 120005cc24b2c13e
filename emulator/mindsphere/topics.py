"""Topic names, and what the messages of each look like.

Names and bodies follow the Asset Management and Event Management Async API samples; the asset topic's name is
inferred from its siblings, the bodies of time series and provisioning are assumed (docs/fidelity.md).
Messages carry ids, not data; none carries an id of its own. Each body composed here is distinct, because its
times are: every message gets its own millisecond.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import blake2b
from random import Random

TOPICS = {
    "aspecttype": "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification",
    "assettype": "mdsp.core.assetmanagement.v1.pubsub.assettype.ext.notification",
    "asset": "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification",
    "eventnotification": "mdsp.core.eventmanagement.v1.pubsub.eventnotification",
    "timeseries": "mdsp.core.timeseries.v1.pubsub.data.ingest",
    "provisioning": "mdsp.core.provisioning.v1.pubsub.application.ext.notification",
}
WINDOWED = frozenset({TOPICS["eventnotification"], TOPICS["timeseries"]})
MAX_EVENTS = 1000  # per message, Event Management notification samples
MAX_TOPIC_CHARS = 255
NAME = re.compile(r"mdsp\.[a-z0-9_-]+\.[a-z0-9_-]+\.v[0-9]+\.(pubsub|postbox)\.[a-z0-9_.-]+")
STRICT_NAME = re.compile(r"mdsp\.[a-z0-9_-]+\.[a-z0-9_-]+\.v[0-9]+\.(pubsub|postbox)\.[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# The name a change is announced under, its resource word, and how its ids look
CHANGES = {
    TOPICS["aspecttype"]: ("aspectType", "ASPECT_TYPE"),
    TOPICS["assettype"]: ("assetType", "ASSET_TYPE"),
    TOPICS["asset"]: ("asset", "ASSET"),
}
TYPE_NAMES = ("PumpVitals", "MotorState", "Vibration", "TankLevel", "Valve", "Meter", "Drive", "Compressor")
ASPECT_NAMES = ("vitals", "state", "vibration", "level")


def valid(topic: str, *, strict: bool) -> bool:
    pattern = STRICT_NAME if strict else NAME
    return len(topic) <= MAX_TOPIC_CHARS and pattern.fullmatch(topic) is not None


def is_postbox(topic: str) -> bool:
    """The only kind an application may publish to."""
    return topic.split(".")[4] == "postbox"


def full_name(word: str) -> str:
    """A short word as its topic; a topic as itself."""
    return TOPICS.get(word, word)


def iso(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}Z"


def asset_id(tenant: str, number: int) -> str:
    """The id of a tenant's asset: the same for ever, and nobody else's."""
    return blake2b(f"{tenant}/{number}".encode(), digest_size=16).hexdigest()


class Composer:
    """Makes message bodies. The same seed and moments give the same bodies."""

    def __init__(self, rng: Random, assets_per_tenant: int) -> None:
        self._rng = rng
        self._assets = assets_per_tenant

    def asset_id(self, tenant: str) -> str:
        """One of the tenant's assets: a fleet of stable size, so that messages of one asset follow each other."""
        return asset_id(tenant, self._rng.randrange(self._assets))

    def uuid(self) -> str:
        raw = f"{self._rng.getrandbits(128):032x}"
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"  # the form of a random UUID

    def payload(self, topic: str, tenant: str, millis: int, items: int = 1) -> dict[str, object]:
        """The payload member of one message about what happened at ``millis``; ``items`` events at most 1000."""
        if topic in CHANGES:
            return self._change(topic, tenant, millis)
        if topic == TOPICS["eventnotification"]:
            return {"events": [self.event(tenant, millis) for _ in range(items)]}
        if topic == TOPICS["timeseries"]:
            return {"timeseries": [self.series(tenant, millis)]}
        if topic == TOPICS["provisioning"]:
            return provisioning("PROVISIONED", tenant, tenant, ("app", "v1.0.0"), self.uuid(), millis)
        return {"data": {"id": self.uuid(), "timestamp": iso(millis)}}

    def _change(self, topic: str, tenant: str, millis: int) -> dict[str, object]:
        member, resource = CHANGES[topic]
        asset = resource == "ASSET"
        return {
            member: {
                "id": self.asset_id(tenant) if asset else f"{tenant}.{self._rng.choice(TYPE_NAMES)}",
                "resource": resource,
                "action": self._rng.choice(("CREATE", "UPDATE", "UPDATE", "UPDATE", "DELETE")),
                "tenant": tenant,
                "timestamp": iso(millis),
            }
        }

    def event(self, tenant: str, millis: int) -> dict[str, object]:
        return {"id": self.uuid(), "assetId": self.asset_id(tenant), "timestamp": iso(millis)}

    def series(self, tenant: str, millis: int) -> dict[str, object]:
        """Data of one asset and aspect arrived in the minute before ``millis``."""
        which = self._rng.randrange(len(ASPECT_NAMES))
        return {
            "assetId": self.asset_id(tenant),
            "aspectName": ASPECT_NAMES[which],
            "aspectTypeId": f"{tenant}.{TYPE_NAMES[which]}",
            "from": iso(millis - 60_000),
            "to": iso(millis - 1),
            "timestamp": iso(millis),
        }


def provisioning(
    action: str, host: str, tenant: str, application: tuple[str, str], id: str, millis: int
) -> dict[str, object]:
    """``action`` is PROVISIONED or DEPROVISIONED; ``tenant`` the user tenant it is about."""
    name, version = application
    return {
        "provisioning": {
            "id": id,
            "resource": "APPLICATION",
            "action": action,
            "tenant": host,
            "userTenant": tenant,
            "application": {"name": name, "version": version},
            "timestamp": iso(millis),
        }
    }
