"""How a batch looks on the wire: what a channel's registration may ask for, and the text that follows from it.

Follows ``SerializationConfigData`` of the public API contract (April 2020): the only ``type`` is ``v2``;
``max_chunk_size`` 100 to 10,000 items; four flags, all off by default. Its examples quote numbers and booleans, a
connector sends them bare: both are taken. Refusing other values with 400 is assumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emulator.pelion.errors import Refusal

CATEGORIES = (
    "notifications",
    "registrations",
    "reg-updates",
    "de-registrations",
    "registrations-expired",
    "async-responses",
    "device-deletions",  # documented nowhere; a vendor's bridge carries a parser for it
)
BARE = ("de-registrations", "registrations-expired", "device-deletions")  # ids, unless asked for as objects
NAMELESS = ("notifications", "de-registrations", "registrations-expired")  # have no original-ep by themselves
MAY_BE_MISSING = ("ct", "max-age", "ept", "q", "resources")
LOOSE = ("max-age", "timestamp")  # numbers that also travel as text
CHUNK_MIN, CHUNK_MAX = 100, 10_000
FLAGS = ("include_uid", "include_timestamp", "include_original_ep", "deregistrations_as_object")
WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Serialization:
    """A channel's wishes. ``asked`` repeats the registration's own words; None if it had none."""

    max_chunk_size: int = CHUNK_MAX
    include_uid: bool = False
    include_timestamp: bool = False
    include_original_ep: bool = False
    deregistrations_as_object: bool = False
    asked: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One event as it is queued. ``core`` is its JSON object without what the flags add."""

    category: str
    ep: str
    original_ep: str
    core: str
    uid: str
    received_at: float  # emulator seconds


def parse(asked: object) -> Serialization:
    """The ``serialization`` member of a registration; 400 for what the contract does not allow."""
    if asked is None:
        return Serialization()
    if not isinstance(asked, dict) or asked.get("type") != "v2":
        raise Refusal(400, "serialization needs the type v2")
    flags = asked.get("cfg") or {}
    if not isinstance(flags, dict):
        raise Refusal(400, "serialization.cfg must be an object")
    known = {name: _flag(name, flags[name]) for name in FLAGS if name in flags}
    return Serialization(_chunk_size(asked.get("max_chunk_size", CHUNK_MAX)), **known, asked=asked)


def _flag(name: str, value: object) -> bool:
    value = WORDS.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, bool):
        raise Refusal(400, f"serialization.cfg.{name} must be true or false")
    return value


def _chunk_size(value: object) -> int:
    value = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 5 else value
    if isinstance(value, bool) or not isinstance(value, int) or not CHUNK_MIN <= value <= CHUNK_MAX:
        raise Refusal(400, f"serialization.max_chunk_size must be {CHUNK_MIN} to {CHUNK_MAX}")
    return value


def batch(items: Iterable[Item], wishes: Serialization, *, loose: bool, sparse: bool) -> str:
    """A NotificationMessage; within each array the items keep their order.

    ``loose``: numbers that some deployments quote are quoted. ``sparse``: members that may be missing are.
    """
    arrays: dict[str, list[str]] = {}
    for item in items:
        arrays.setdefault(item.category, []).append(text(item, wishes, loose=loose, sparse=sparse))
    inner = ",".join(f'"{category}":[{",".join(texts)}]' for category, texts in arrays.items())
    return f"{{{inner}}}"


def text(item: Item, wishes: Serialization, *, loose: bool = False, sparse: bool = False) -> str:
    """One item as this channel gets it."""
    if item.category in BARE and not wishes.deregistrations_as_object:
        return json.dumps(item.ep)
    extra = ""
    if wishes.include_uid:
        extra += f',"uid":"{item.uid}"'
    if wishes.include_timestamp:
        extra += f',"timestamp":{int(item.received_at * 1000)}'
    if wishes.include_original_ep and item.category in NAMELESS:
        extra += f',"original-ep":{json.dumps(item.original_ep)}'
    found = f"{item.core[:-1]}{extra}}}"
    return _altered(found, loose=loose, sparse=sparse) if loose or sparse else found


def _altered(text: str, *, loose: bool, sparse: bool) -> str:
    members = json.loads(text)
    if sparse:
        members = {name: value for name, value in members.items() if name not in MAY_BE_MISSING}
    if loose:
        members = {name: str(value) if name in LOOSE else value for name, value in members.items()}
    return json.dumps(members, separators=(",", ":"))
