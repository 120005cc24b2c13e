"""A notification as a CloudEvent: the one envelope of all sinks.

Documents: CloudEvents 1.0.2 and its JSON format.
"""

from __future__ import annotations

from urllib.parse import quote

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from subscriber.model import Dead, Notification

CONTENT_TYPE = JSONFormat.CONTENT_TYPE
PRUNED = Dead("pruned", "its body was removed after PAYLOAD_RETENTION_DAYS: there is nothing to hand on")


def cloud_event(notification: Notification, data: bytes) -> bytes:
    """The notification as a CloudEvent in JSON; ``data`` is its JSON text, taken over byte by byte.

    The library writes the attributes. It would write the data too, but only parsed, and numbers would change on the
    way (large integers become floats). Empty attributes are left out: the specification wants none.
    """
    attributes = {
        "id": notification.key.hex(),
        "source": "/" + "/".join(quote(part, safe="") for part in notification.tenant),
        "type": notification.topic,
        "subject": notification.source,
        "time": notification.occurred_at or notification.received_at,
        "datacontenttype": JSONFormat.DEFAULT_CONTENT_TYPE,
        "tenant": notification.tenant.name,
        "platform": notification.platform,
        "channel": notification.channel,
        "action": notification.action,
        "repeat": notification.repeat,
    }
    filled = {name: value for name, value in attributes.items() if value != ""}
    return JSONFormat().write(CloudEvent(filled))[:-1] + b', "data": ' + data + b"}"
