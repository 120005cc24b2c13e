"""What callers may ask: each parameter is declared once, and parser and OpenAPI document read the same line.

Strict, so that a misspelled filter never shows more than was asked for: a parameter that is unknown, empty or given
twice is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from werkzeug.datastructures import MultiDict

from subscriber.errors import InvalidParameter
from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST, State
from subscriber.platforms.content import NAME_CHARS
from subscriber.web.api.places import PLACE_CHARS, Order

DEFAULT_ITEMS = 50
MAX_ITEMS = 200  # on a page; bodies bound it further, see listing
PLATFORMS = (MINDSPHERE, CUMULOCITY, SMARTREST, PELION)
CURSOR_CHARS = 2 * PLACE_CHARS  # what is longer is not even tried

# RFC 3339, section 5.6. Groups: date, hour and minute, second, fraction, offset.
MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})(\.[0-9]{1,20})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

Json = dict[str, Any]
Name = TypeVar("Name", bound=str)


class Parameter(NamedTuple):
    """One query parameter. ``parse`` raises ``ValueError`` saying what is wanted."""

    name: str
    schema: Json
    help: str
    parse: Callable[[str], Any]


def _text(text: str) -> str:
    if not 0 < len(text) <= NAME_CHARS or "\0" in text:
        raise ValueError(f"must have 1 to {NAME_CHARS} characters")
    return text


def _one_of(names: Sequence[Name]) -> Callable[[str], Name]:
    def parse(text: str) -> Name:
        for name in names:
            if name == text:
                return name
        raise ValueError(f"must be one of {', '.join(names)}")

    return parse


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 0 < int(text) <= MAX_ITEMS:
        raise ValueError(f"must be a whole number from 1 to {MAX_ITEMS}")
    return int(text)


def _cursor(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text) or len(text) > CURSOR_CHARS:
        raise ValueError("must be a cursor that was given here")
    return text


def _moment(text: str) -> datetime:
    """A ``+`` that was not percent-encoded arrives as a blank. Times beyond the calendar's ends are its ends."""
    found = MOMENT.fullmatch(text.replace(" ", "+"))
    if not found:
        raise ValueError("must be a date and time with an offset, such as 2026-01-31T08:00:00Z")
    date, clock, second, fraction, offset = found.groups()
    if date.startswith("0000"):
        return datetime.min.replace(tzinfo=UTC)
    second = "59" if second == "60" else second  # a leap second, which this calendar does not know
    try:
        return datetime.fromisoformat(f"{date}T{clock}:{second}{(fraction or '')[:7]}{offset.upper()}").astimezone(
            UTC
        )
    except OverflowError:
        return (datetime.min if date.startswith("0001") else datetime.max).replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError("must be a date and time of the calendar") from error


TEXT: Json = {"type": "string", "minLength": 1, "maxLength": NAME_CHARS, "pattern": "^[^\\u0000]+$"}
TIME: Json = {"type": "string", "format": "date-time"}


def _words(names: Sequence[str], **more: str) -> Json:
    return {"type": "string", "enum": [str(name) for name in names], **more}


TOPIC = Parameter("topic", TEXT, "only this topic, in full", _text)
PLATFORM = Parameter("platform", _words(PLATFORMS), "only of this platform", _one_of(PLATFORMS))
SOURCE = Parameter("source", TEXT, "only about this object", _text)
STATE = Parameter("state", _words(tuple(State)), "only in this state", _one_of(tuple(State)))
SINCE = Parameter("since", TIME, "received at this time or later", _moment)
UNTIL = Parameter("until", TIME, "received before this time", _moment)
LIMIT = Parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_ITEMS, "default": DEFAULT_ITEMS},
    "most items on a page; large ones make it shorter",
    _number,
)
CURSOR = Parameter(
    "cursor",
    {"type": "string", "minLength": 1, "maxLength": CURSOR_CHARS, "pattern": "^[A-Za-z0-9_-]+$"},
    "where to go on: `next` or `resume` of an earlier answer",
    _cursor,
)
ORDER = Parameter(
    "order",
    _words(tuple(Order), default=str(Order.NEWEST)),
    "newest first, or in order of arrival, which misses nothing however late it was stored",
    _one_of(tuple(Order)),
)

KEY_PATTERN = "([0-9a-f]{2}){1,64}"  # hex of a key's bytes
KEY = re.compile(KEY_PATTERN)

LISTED = (TOPIC, PLATFORM, SOURCE, STATE, SINCE, UNTIL, ORDER, LIMIT, CURSOR)
STREAMED = (TOPIC, PLATFORM, SOURCE, CURSOR)


def read(parameters: Sequence[Parameter], given: MultiDict[str, str]) -> Mapping[str, Any]:
    """The values that were given, by name. Raises ``InvalidParameter``."""
    known = {parameter.name: parameter for parameter in parameters}
    values = {}
    for name, texts in given.lists():
        if name not in known:
            raise InvalidParameter(f"a parameter is none of {', '.join(known)}")
        if len(texts) != 1:
            raise InvalidParameter(f"{name} is given more than once")
        try:
            values[name] = known[name].parse(texts[0])
        except ValueError as error:
            raise InvalidParameter(f"{name} {error}") from error
    return values
