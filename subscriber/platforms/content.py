"""What all codecs share: reading a stranger's JSON so that it can be stored, and keys made of it.

Pure: no I/O, no clock. A key is a function of the identity only (design of the store's deduplication): where a fact
carries a time, the time leads its key, so that rows of one time lie together in the index.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import orjson

from subscriber.errors import MalformedDelivery
from subscriber.model import to_millis

NAME_CHARS = (
    255  # MindSphere's limit for topics; taken for ids and actions of all platforms, none of which is published
)
DIGEST_BYTES = 16  # 2**64 notifications of one tenant for an even chance of a collision
# Of one body. Parsed, a value takes up to thirty times its bytes, and a process has half of 512 MiB: 10 MiB of the
# densest JSON would take 320. Readings have some 20 bytes a value, so these fill the largest body by default.
MOST_VALUES = 500_000
TIME_BYTES = 6  # milliseconds until the year 10889; rows of one hour share index pages
NO_TIME = bytes(TIME_BYTES)
CONTENT = blake2b(digest_size=DIGEST_BYTES, person=b"content")


def parse(body: bytes) -> Any:
    """The JSON value in a body. Raises ``MalformedDelivery`` for what is none, too much, or could not be kept."""
    if len(body) > MOST_VALUES and _values_at_most(body) > MOST_VALUES:
        raise MalformedDelivery(f"more than {MOST_VALUES:,} values", reason="too_many_values")
    # orjson refuses what could not be stored again: lone surrogates, NaN, nesting deeper than 1,024.
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedDelivery(f"not JSON: {error.msg}", reason="json") from error
    if b"\\u0000" in body and _holds_nul(document):
        raise MalformedDelivery("a text holds NUL, which no database column takes", reason="nul")
    return document


def _values_at_most(body: bytes) -> int:
    """How many values JSON may hold at most: each but the first of an object or array stands behind a comma."""
    return body.count(b",") + body.count(b"[") + body.count(b"{") + 1


def _holds_nul(document: Any) -> bool:
    """Walks without recursion: nesting is a stranger's choice."""
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises ``MalformedDelivery``."""
    document = parse(body)
    if not isinstance(document, dict):
        raise MalformedDelivery("the document is not a JSON object", reason="json")
    return document


def content_digest(*parts: Any) -> bytes:
    """Digest of JSON values in canonical form: members sorted, no blanks. Raises ``MalformedDelivery``."""
    try:
        canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:  # nested deeper than orjson writes (254), though it read it
        raise MalformedDelivery("nested too deeply", reason="json") from error
    digest = CONTENT.copy()  # a fourth cheaper than to begin anew
    digest.update(canonical)
    return digest.digest()


def id_digest(text: str) -> bytes:
    """Digest of an id that a platform has given. The text may hold undecodable bytes as lone surrogates."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=DIGEST_BYTES, person=b"id").digest()


def time_bytes(moment: datetime | None) -> bytes:
    """Leading bytes of a key, so that rows of one time lie together; ``NO_TIME`` without a usable time."""
    millis = 0 if moment is None else to_millis(moment)
    return millis.to_bytes(TIME_BYTES, "big") if 0 < millis < 1 << 8 * TIME_BYTES else NO_TIME


def moment(text: object) -> datetime | None:
    """An ISO 8601 time cut to milliseconds, UTC where it names no zone; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not UTC:
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    finer = found.microsecond % 1000
    return found - timedelta(microseconds=finer) if finer else found


def short_name(text: str, what: str) -> str:
    """A stranger's short text, fit for a column and a screen. Raises ``MalformedDelivery``."""
    if len(text) > NAME_CHARS:
        raise MalformedDelivery(f"{what} is longer than {NAME_CHARS} characters", reason="name")
    return text
