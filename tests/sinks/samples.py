"""What the tests of sinks share: a notification with every field filled, one with as few as there may be."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from subscriber.model import Identity, Notification, Tenant
from subscriber.routes import RunningAttempt

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
ATTEMPT = RunningAttempt(1, NOW)
NOTIFICATION = Notification(
    tenant=Tenant("mindsphere", "custaa"),
    key=b"\x01\xff",
    identity=Identity.TIMED,
    repeat=2,
    topic="mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification",
    channel="ch",
    source="a1b2",
    action="CREATE",
    occurred_at=NOW - timedelta(minutes=1, milliseconds=250),
    received_at=NOW,
    body=b'{"value": 1.10, "id": 123456789012345678901234567890, "name": "M\xc3\xbcnchen"}',
)
BARE = replace(NOTIFICATION, channel="", source="", action="", occurred_at=None, repeat=0)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
