"""Frames and acknowledgement ids of the consumer protocol. Pure.

"Notifications 2.0, consumer protocol": header lines, an empty line, a body on one line; the first line is the id, and
sending it back acknowledges. The printed ids decode as message ids of the engine underneath: padded base64 of
``08 <ledger> 10 <entry> 20 00 30 01`` with both numbers as variable-length integers (protobuf).
"""

from __future__ import annotations

from base64 import b64encode


def ack_id(ledger: int, entry: int) -> str:
    """Opaque to clients; differs from frame to frame of one topic."""
    raw = b"\x08" + _varint(ledger) + b"\x10" + _varint(entry) + b"\x20\x00\x30\x01"
    return b64encode(raw).decode()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def description(tenant: str, api: str, source: str) -> str:
    """``/t123/alarms/5001``: the last part is the managed object, not the alarm."""
    return f"/{tenant}/{api}/{source}"


def frame(id: str, described: str, action: str, body: bytes, extra_header: str = "") -> bytes:
    """One WebSocket text message; ``extra_header`` is a line a future release might add."""
    extra = f"{extra_header}\n" if extra_header else ""
    return f"{id}\n{described}\n{action}\n{extra}\n".encode() + body
