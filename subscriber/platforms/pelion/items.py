"""What one item of a notification message says: which device, when, and by what it is known again.

Pure. An item is an object, or a bare device id where de-registrations were not asked for as objects. What makes two
items the same (public API contract, serialization object; the rest is our reading of it, kept by tests):

- A: ``uid``, where the channel was registered with ``include_uid``: the id;
- B: an async response: the id of the request it answers, which whoever sends commands makes anew each time;
- C: ``timestamp``, when the service queued it: that and the content. Equal ones in one message are counted: values
  of one millisecond are as many facts as there are;
- D: neither: nothing in it tells a repeated fact from a repeated delivery, see ``resends``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from subscriber.errors import MalformedDelivery
from subscriber.model import from_millis
from subscriber.platforms.content import content_digest, id_digest, parse, short_name

NOTIFICATIONS, ASYNC_RESPONSES = "notifications", "async-responses"
OBJECTS = frozenset((NOTIFICATIONS, "registrations", "reg-updates", ASYNC_RESPONSES))
DEVICES = frozenset(("de-registrations", "registrations-expired"))  # objects or bare ids
NEEDED = {NOTIFICATIONS: ("ep", "path"), ASYNC_RESPONSES: ("id",)}
KNOWN = OBJECTS | DEVICES
LAST_MILLIS = 253_402_300_799_999  # 9999-12-31, the end of Python's time
LONGEST_MILLIS = len(str(LAST_MILLIS))


class Item(NamedTuple):
    """One item as it was read. ``digest``: of its canonical content, the category included."""

    source: str  # device id; empty if it names none
    occurred_at: datetime | None
    millis: int  # of that; 0 if there is none
    id: bytes  # digest of the platform's own id; empty if it has none
    digest: bytes


def read_item(category: str, text: bytes) -> Item:
    """Raises ``MalformedDelivery``."""
    value = parse(text)
    if isinstance(value, str):
        return _bare(category, value)
    if not isinstance(value, dict):
        if category in KNOWN:
            raise MalformedDelivery("the item is neither an object nor a device id", reason="item")
        return Item("", None, 0, b"", content_digest(category, value))
    for member in NEEDED.get(category, ("ep",) if category in KNOWN else ()):
        if not isinstance(value.get(member), str) or not value[member]:
            raise MalformedDelivery(f"the item lacks {member}", reason="item")
    source = value.get("ep")
    millis = _millis(value.get("timestamp"))
    return Item(
        short_name(source, "ep") if isinstance(source, str) else "",
        from_millis(millis) if millis else None,
        millis,
        _id(category, value),
        _digest(category, value),
    )


def _bare(category: str, device: str) -> Item:
    if category in OBJECTS or not device:
        raise MalformedDelivery("the item is not an object", reason="item")
    return Item(short_name(device, "the device id"), None, 0, b"", content_digest(category, device))


def _id(category: str, value: dict[str, Any]) -> bytes:
    """Cases A and B."""
    uid = value.get("uid")
    if isinstance(uid, str) and uid:
        return id_digest(f"{category}\x1f{uid}")
    return id_digest(f"{category}\x1fid\x1f{value['id']}") if category == ASYNC_RESPONSES else b""


def _digest(category: str, value: dict[str, Any]) -> bytes:
    """What a resource's value is; the rest of it is about how it may be cached. All of anything else but its time."""
    if category == NOTIFICATIONS:
        return content_digest(category, value["ep"], value["path"], value.get("ct"), value.get("payload"))
    return content_digest(category, {name: value[name] for name in value if name != "timestamp"})


def _millis(value: object) -> int:
    """Milliseconds since 1970 of a number or its text; 0 for what is no usable time."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= LONGEST_MILLIS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LAST_MILLIS:
        return 0
    return value
