"""Devices and their resources: what registers, holds values, sleeps and goes away.

The seed world: three devices in the account ``acme``, one in ``borealis``; all registered. A resource is known by
its LwM2M path; ``observable`` ones can be subscribed to.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from emulator.journal import Journal
from emulator.pelion import tlv

TEXT = "text/plain"
REGISTERED, DEREGISTERED, EXPIRED = "registered", "deregistered", "bootstrapped"  # words of the device directory
SCHEMA = """
CREATE TABLE IF NOT EXISTS pelion_devices (
  ep TEXT PRIMARY KEY, serial INTEGER NOT NULL, document TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Resource:
    path: str
    value: str  # base64 of the bytes
    kind: str = ""  # ``rt``; empty = none
    content_type: str = TEXT
    observable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """``ep`` is the id the service gave, ``name`` what the device calls itself."""

    ep: str
    account: str
    name: str
    type: str
    queue_mode: bool = False
    state: str = REGISTERED
    reachable: bool = True  # False: asleep or out of reach, though registered
    lifetime_s: float = 0.0  # registered this long without an update; 0 = for ever
    updated_at: float = 0.0  # emulator seconds
    resources: Mapping[str, Resource] = field(default_factory=dict)

    @property
    def registered(self) -> bool:
        return self.state == REGISTERED

    @property
    def expires_at(self) -> float | None:
        """When its registration runs out; None = not by itself."""
        return self.updated_at + self.lifetime_s if self.registered and self.lifetime_s else None


def seed() -> list[Device]:
    """What is there at the start."""
    return [
        _thermometer("017f0000000000000000000100100001", "acme", "cellar-07"),
        _thermometer("017f0000000000000000000100100002", "acme", "attic-02"),
        Device(
            ep="017f0000000000000000000100100003",
            account="acme",
            name="gate-02",
            type="gate",
            queue_mode=True,
            resources=_by_path(
                Resource("/3200/0/5501", "MTc=", "count"),
                Resource("/3201/0/5850", "", "relay", observable=False),
            ),
        ),
        _thermometer("017f0000000000000000000100100009", "borealis", "mill-01"),
    ]


def _thermometer(ep: str, account: str, name: str) -> Device:
    resources = _by_path(
        Resource("/3/0/0", "QWNtZQ==", "manufacturer", observable=False),
        Resource("/3303/0/5700", "MjEuNQ==", "temperature"),
        Resource("/3303/0/5701", "Q2Vs", "unit", observable=False),
    )
    return Device(ep=ep, account=account, name=name, type="thermo", resources=resources)


def _by_path(*resources: Resource) -> dict[str, Resource]:
    return {resource.path: resource for resource in resources}


class Devices:
    """In memory for reading, in the state file for keeping."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        self._devices: dict[str, Device] = {}
        for (document,) in journal.db.execute("SELECT document FROM pelion_devices ORDER BY serial"):
            device = _from_document(document)
            self._devices[device.ep] = device
        if not self._devices:
            self.reset()

    def reset(self) -> None:
        """The seed devices again."""
        self._devices.clear()
        with self._journal.transaction() as db:
            db.execute("DELETE FROM pelion_devices")
            for device in seed():
                self.keep(device)

    def keep(self, device: Device) -> Device:
        """A new device, or a changed one."""
        self._journal.db.execute(
            "INSERT INTO pelion_devices SELECT ?, coalesce(max(serial), 0) + 1, ? FROM pelion_devices"
            " WHERE true ON CONFLICT (ep) DO UPDATE SET document = excluded.document",
            (device.ep, json.dumps(asdict(device))),
        )
        self._devices[device.ep] = device
        return device

    def set_value(self, device: Device, path: str, value: str) -> Device:
        """The device with another value (base64) at a resource it has, or gains."""
        known = device.resources.get(path) or Resource(path, "")
        return self.keep(replace(device, resources={**device.resources, path: replace(known, value=value)}))

    def get(self, ep: str, account: str) -> Device | None:
        """An account's own device only."""
        device = self._devices.get(ep)
        return device if device and device.account == account else None

    def find(self, ep: str) -> Device | None:
        """Any account's device."""
        return self._devices.get(ep)

    def of_account(self, account: str) -> Iterator[Device]:
        return (device for device in self._devices.values() if device.account == account)

    def lapsing(self) -> list[tuple[float, Device]]:
        """Devices whose registration runs out, with the time it does."""
        found = ((device.expires_at, device) for device in self._devices.values())
        return [(at, device) for at, device in found if at is not None]


def _from_document(document: str) -> Device:
    members = json.loads(document)
    members["resources"] = _by_path(*(Resource(**entry) for entry in members["resources"].values()))
    return Device(**members)


def content(device: Device, path: str) -> tuple[str, str] | None:
    """Content type and base64 value of a resource, or of everything below an object; None if there is nothing."""
    resource = device.resources.get(path)
    if resource is not None:
        return resource.content_type, resource.value
    if path.count("/") not in (1, 2) or not any(name.startswith(path + "/") for name in device.resources):
        return None
    raw = tlv.encode(path, {name: b64decode(entry.value) for name, entry in device.resources.items()})
    return tlv.CONTENT_TYPE, b64encode(raw).decode()
