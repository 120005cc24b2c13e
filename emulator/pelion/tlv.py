"""LwM2M's tag-length-value form: how a whole object or object instance travels in one notification.

Follows: OMA "Lightweight Machine to Machine Technical Specification" 1.0, section 6.4.3. Resources are single
values given as the bytes the device holds; nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.oma.lwm2m+tlv"
OBJECT_INSTANCE, RESOURCE = 0b00 << 6, 0b11 << 6  # bits 7 and 6 of the type byte


def entry(kind: int, id: int, value: bytes) -> bytes:
    """One element: type, identifier in one or two bytes, length in as few bytes as it needs, value."""
    wide = 0b1 << 5 if id > 0xFF else 0
    identifier = id.to_bytes(2 if wide else 1, "big")
    if len(value) < 8:
        return bytes([kind | wide | len(value)]) + identifier + value
    size = (len(value).bit_length() + 7) // 8
    return bytes([kind | wide | size << 3]) + identifier + len(value).to_bytes(size, "big") + value


def encode(path: str, values: Mapping[str, bytes]) -> bytes:
    """What lies below ``path`` (``/object`` or ``/object/instance``) of ``values`` by resource path."""
    below = sorted(name for name in values if name.startswith(path.rstrip("/") + "/"))
    if path.count("/") == 2:
        return b"".join(entry(RESOURCE, _number(name, 3), values[name]) for name in below)
    instances = dict.fromkeys("/".join(name.split("/")[:3]) for name in below)
    return b"".join(entry(OBJECT_INSTANCE, _number(name, 2), encode(name, values)) for name in instances)


def _number(path: str, segment: int) -> int:
    return int(path.split("/")[segment])
