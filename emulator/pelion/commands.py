"""Commands to devices and their results: an async response on the channel of the application that asked.

A device that can be reached answers at once. Out of reach, a queue-mode device keeps up to 20 commands until it is
back, they expire or it goes away; for any other the service gives up. Statuses and words are the API contract's;
that a device answers without any delay is the emulator's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from emulator.clock import Clock
from emulator.journal import Journal
from emulator.pelion import events
from emulator.pelion.devices import Device, Devices, content
from emulator.pelion.errors import Refusal
from emulator.pelion.feed import Feed

QUEUE_LIMIT = 20  # commands waiting for one device
SCHEMA = """
CREATE TABLE IF NOT EXISTS pelion_commands (
  id INTEGER PRIMARY KEY, ep TEXT NOT NULL, expires_at REAL NOT NULL, document TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """``uri`` may carry a query: attributes of a notification rule. ``payload`` is base64."""

    application: str
    ep: str
    id: str  # of its async response
    method: str
    uri: str
    payload: str = ""
    expires_at: float  # emulator seconds
    subscribes: bool = False  # the first value of a new subscription


class Commands:
    """Those that wait, in the state file; ``on_value`` of the world is told what a command wrote."""

    def __init__(self, journal: Journal, devices: Devices, feed: Feed, clock: Clock) -> None:
        self._journal = journal
        self._devices = devices
        self._feed = feed
        self._clock = clock
        journal.extend(SCHEMA)
        self.on_value: Callable[[Device, str], object] = lambda device, path: None

    def give(self, command: Command, device: Device) -> None:
        """Answered at once if the device can be; 400 if too many wait."""
        if device.reachable:
            self._answer(command, device)
        elif not device.queue_mode:
            self._fail(command, device, 504, "TIMEOUT")
        else:
            self._keep(command)

    def _keep(self, command: Command) -> None:
        db = self._journal.db
        (waiting,) = db.execute("SELECT count(*) FROM pelion_commands WHERE ep = ?", (command.ep,)).fetchone()
        if waiting >= QUEUE_LIMIT:
            raise Refusal(400, "the device's queue is full", word="QUEUE_IS_FULL")
        db.execute(
            "INSERT INTO pelion_commands (ep, expires_at, document) VALUES (?, ?, ?)",
            (command.ep, command.expires_at, json.dumps(asdict(command))),
        )

    def back(self, device: Device) -> None:
        """The device can be reached again: what waited is answered, in order."""
        for command in self._take("ep = ?", device.ep):
            self._answer(command, self._devices.find(device.ep) or device)

    def gone(self, device: Device, error: str = "DEVICE_REMOVED_REGISTRATION") -> None:
        """Nothing that waited can be delivered any more."""
        for command in self._take("ep = ?", device.ep):
            self._fail(command, device, 429, error)

    def expire(self) -> None:
        for command in self._take("expires_at <= ?", self._clock.now()):
            device = self._devices.find(command.ep)
            if device is not None:
                self._fail(command, device, 429, "REQUEST_EXPIRED")

    def next_expiry(self) -> float | None:
        (at,) = self._journal.db.execute("SELECT min(expires_at) FROM pelion_commands").fetchone()
        return None if at is None else float(at)

    def clear(self) -> None:
        self._journal.db.execute("DELETE FROM pelion_commands")

    def _take(self, where: str, value: object) -> list[Command]:
        db = self._journal.db
        rows = db.execute(f"SELECT document FROM pelion_commands WHERE {where} ORDER BY id", (value,)).fetchall()
        db.execute(f"DELETE FROM pelion_commands WHERE {where}", (value,))
        return [Command(**json.loads(document)) for (document,) in rows]

    # what a device does

    def _answer(self, command: Command, device: Device) -> None:
        path, _, attributes = command.uri.partition("?")
        found = content(device, path)
        if found is None or (command.subscribes and not _observable(device, path)):
            self._fail(command, device, 404, "NOT_FOUND")
        elif command.method == "DELETE":
            self._fail(command, device, 400, "METHOD_NOT_ALLOWED")
        elif command.method == "GET":
            self._put(command, events.answer(device, command.id, 200, found))
        else:
            self._put(command, events.answer(device, command.id, 200, None))
            if command.method == "PUT" and not attributes:
                self.on_value(self._devices.set_value(device, path, command.payload), path)

    def _fail(self, command: Command, device: Device, status: int, error: str) -> None:
        self._put(command, events.failure(device, command.id, status, error))

    def _put(self, command: Command, event: events.Event) -> None:
        self._feed.put(command.application, [event], duplicate=0, reorder=0)


def _observable(device: Device, path: str) -> bool:
    observable = (name for name, entry in device.resources.items() if entry.observable)
    return any(name == path or name.startswith(path + "/") for name in observable)
