"""What events look like: the JSON object of each category, without the members that a channel's flags add.

Follows ``NotificationData``, ``EndpointData`` and ``AsyncIDResponse`` of the public API contract. ``max-age`` is a
number here; the contract types it as text and shows a number, the knob ``EMU_PELION_LOOSE_TYPES`` quotes it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from random import Random

from emulator.pelion.devices import TEXT, Device

MAX_AGE_S = 0  # values read by observation are not served from a cache
VALUE_PATH = "/3303/0/5700"  # temperature of the first sensor: what composed values speak of


@dataclass(frozen=True, slots=True)
class Event:
    """One fact before it is put in a queue."""

    category: str
    ep: str
    name: str  # the device's own
    core: str


def _compact(members: object) -> str:
    return json.dumps(members, separators=(",", ":"))


def value(device: Device, path: str, content_type: str, payload: str) -> Event:
    """``payload`` is base64 already."""
    members = {"ep": device.ep, "path": path, "ct": content_type, "payload": payload, "max-age": MAX_AGE_S}
    return Event("notifications", device.ep, device.name, _compact(members))


def endpoint(category: str, device: Device) -> Event:
    """A registration or an update of one: ``registrations`` or ``reg-updates``."""
    members = {
        "ep": device.ep,
        "original-ep": device.name,
        "ept": device.type,
        "q": device.queue_mode,
        "resources": [
            {"path": entry.path, **({"rt": entry.kind} if entry.kind else {}), "obs": entry.observable}
            for entry in device.resources.values()
        ],
    }
    return Event(category, device.ep, device.name, _compact(members))


def absence(category: str, device: Device) -> Event:
    """``de-registrations``, ``registrations-expired`` or ``device-deletions``."""
    return Event(category, device.ep, device.name, _compact({"ep": device.ep}))


def answer(
    device: Device, id: str, status: int, content: tuple[str, str] | None, max_age_s: int = MAX_AGE_S
) -> Event:
    """A command's good result; ``content`` is type and base64 value, None if there is none."""
    members: dict[str, object] = {"id": id, "status": status}
    if content is not None:
        members |= {"payload": content[1], "ct": content[0], "max-age": max_age_s}
    return Event("async-responses", device.ep, device.name, _compact(members))


def failure(device: Device, id: str, status: int, error: str) -> Event:
    return Event("async-responses", device.ep, device.name, _compact({"id": id, "status": status, "error": error}))


def verbatim(category: str, members: object) -> Event:
    """An item given by the caller, bare ids included."""
    if isinstance(members, str):
        return Event(category, members, members, _compact({"ep": members}))
    assert isinstance(members, dict)
    ep = str(members.get("ep", ""))
    return Event(category, ep, str(members.get("original-ep", ep)), _compact(members))


class Composer:
    """Makes events in numbers, with values that wander like a temperature."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._tenths = 200

    def event(self, category: str, device: Device) -> Event:
        match category:
            case "notifications":
                self._tenths += self._rng.randint(-3, 3)
                payload = b64encode(f"{self._tenths / 10}".encode()).decode()
                return value(device, VALUE_PATH, TEXT, payload)
            case "registrations" | "reg-updates":
                return endpoint(category, device)
            case "async-responses":
                return answer(device, self._uuid(), 200, (TEXT, "b3Blbg=="))
            case _:
                return absence(category, device)

    def _uuid(self) -> str:
        digits = f"{self._rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
