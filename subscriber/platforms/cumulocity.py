"""Cumulocity Notification 2.0: what the frames of a consumer's WebSocket mean.

Pure: no I/O, no clock. Follows the consumer protocol of Notification 2.0: a frame is header lines, an empty line and
a body. The first line is the acknowledgement's text, the second the description ``/tenant/type/source``, the third
the action; more may come and are skipped. Lines end with LF and with nothing else: other separators that Python
knows may stand inside a JSON text. Unknown types and actions are notifications like any other.

The platform's words and ours: subscription name → channel, API word without ``WithChildren`` → topic, id of the
managed object → source, action → action, ``lastUpdated``, else ``time`` → occurred_at.

The acknowledgement's text changes with each connection, so it says nothing about identity:

- a body with ``lastUpdated``, ``time`` or ``count`` changes with each fact: its content is the identity. An alarm of
  a device that comes under ``alarms`` and again under ``alarmsWithChildren`` is one notification;
- other bodies (managed objects cut down to some fragments, deletions) repeat legitimately. Such a frame is
  ``untimed``: whether it is new is decided by its place among what the consumer stored last, see ``replays``.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from subscriber.errors import MalformedDelivery
from subscriber.model import CUMULOCITY, Identity, Notification, Tenant
from subscriber.platforms.content import content_digest, moment, parse, short_name, time_bytes

WITH_CHILDREN = "WithChildren"
TIMES = ("lastUpdated", "time")
CHANGING = ("lastUpdated", "time", "count")  # members that a new fact changes
HEADER_LINES = 3
ACK_BYTES = 1024  # published ids have 16 to 24 characters; what is sent back unread must have some end
# A device says the same header again and again, and reading it anew costs as much as all the rest of its frame.
HEADERS_KEPT = 4096  # devices of a busy worker; others are read each time
KEPT_BYTES = 512  # some hundred as a rule; a stranger's long ones are not kept


class Frame(NamedTuple):
    """A frame that could be read. ``untimed``: nothing in it tells a repeated fact from a repeated delivery."""

    notification: Notification
    untimed: bool


class Header(NamedTuple):
    """What the description and the action say."""

    tenant: str
    topic: str
    source: str
    action: str


def acknowledgement(frame: bytes) -> bytes:
    """The text to send back once the frame is stored, empty if it has none. Unreadable frames have it as well."""
    text = frame.partition(b"\n")[0].removesuffix(b"\r")
    return text if len(text) <= ACK_BYTES else b""


def decode(frame: bytes, tenant: str, channel: str, received_at: datetime) -> Frame:
    """The notification in a frame that came for this tenant by the subscription named ``channel``.

    Raises ``MalformedDelivery``, also for a frame that names another tenant: nobody's data may land with another.
    """
    lines, body = _split(frame)
    described, topic, source, action = _kept_header(lines) if len(lines) <= KEPT_BYTES else _header(lines)
    if described != tenant:
        raise MalformedDelivery("the frame is another tenant's", reason="tenant")
    document = parse(body)
    occurred_at = _occurred_at(document)
    return Frame(
        Notification(
            tenant=Tenant(CUMULOCITY, tenant),
            key=time_bytes(occurred_at) + content_digest(channel, topic, source, action, document),
            identity=Identity.TIMED,
            topic=topic,
            channel=channel,
            source=source,
            action=action,
            occurred_at=occurred_at,
            received_at=received_at,
            body=body,
        ),
        untimed=occurred_at is None and not _carries(document, CHANGING),
    )


def _split(frame: bytes) -> tuple[bytes, bytes]:
    """Header lines behind the first, and the body.

    A proxy may have turned LF into CRLF in the header; the body is left as it is.
    """
    head, separator, body = frame.partition(b"\n\n")
    if b"\r" in head:
        crlf_head, crlf_separator, crlf_body = frame.partition(b"\r\n\r\n")
        if crlf_separator and len(crlf_head) < len(head):
            head, separator, body = crlf_head, crlf_separator, crlf_body
    first, _, lines = head.partition(b"\n")
    if not separator or not lines:
        raise MalformedDelivery("a frame has three header lines, an empty line and a body", reason="frame")
    _printable(first)
    return lines, body


def _header(lines: bytes) -> Header:
    """What the lines behind the first say. There may be more of them than anybody knows."""
    described, *more = lines.split(b"\n", HEADER_LINES - 1)
    if not more:
        raise MalformedDelivery("a frame has three header lines, an empty line and a body", reason="frame")
    tenant, topic, source = _description(_printable(described))
    return Header(tenant, topic, source, short_name(_printable(more[0]), "action"))


_kept_header = lru_cache(HEADERS_KEPT)(_header)


def _printable(line: bytes) -> str:
    """The text of a line. Raises ``MalformedDelivery`` if it is none, or nothing for a screen."""
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise MalformedDelivery("the header is not UTF-8", reason="frame") from error
    if not text.isprintable():
        raise MalformedDelivery("the header holds unprintable characters", reason="frame")
    return text


def _description(text: str) -> tuple[str, str, str]:
    """Tenant, topic and source of a description; the source may be empty and may hold slashes."""
    parts = text.split("/", 3)
    if len(parts) != 4 or parts[0] or not (parts[1] and parts[2]):
        raise MalformedDelivery("the description does not read /tenant/type/source", reason="description")
    _, tenant, kind, source = parts
    return tenant, short_name(kind, "type").removesuffix(WITH_CHILDREN) or kind, short_name(source, "source")


def _carries(document: Any, members: tuple[str, ...]) -> bool:
    return isinstance(document, dict) and any(document.get(member) is not None for member in members)


def _occurred_at(document: Any) -> datetime | None:
    if isinstance(document, dict):
        for member in TIMES:
            if (text := document.get(member)) is not None and (found := moment(text)):
                return found
    return None
