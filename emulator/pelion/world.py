"""What happens to devices, and which events follow from it.

Registration and the end of it reach every channel of the account; values reach the applications that subscribed.
A full registration ends manual subscriptions and has the rules looked at; an update has the rules looked at. A new
subscription sends the present value (assumed, after CoAP's observation).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from emulator.clock import Clock
from emulator.pelion import events
from emulator.pelion.commands import Commands
from emulator.pelion.devices import DEREGISTERED, EXPIRED, REGISTERED, Device, Devices, content
from emulator.pelion.feed import Feed
from emulator.pelion.registry import Registry
from emulator.pelion.subscriptions import Subscription, Subscriptions


class World:
    """Each act is committed, and its events queued, when the method returns."""

    def __init__(
        self,
        registry: Registry,
        devices: Devices,
        subscriptions: Subscriptions,
        commands: Commands,
        feed: Feed,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._devices = devices
        self._subscriptions = subscriptions
        self._commands = commands
        self._feed = feed
        self._clock = clock
        commands.on_value = self._report

    def register(self, device: Device) -> Device:
        """A full registration: of a new device, or of a known one again."""
        self._subscriptions.end_manual(device.ep)
        return self._appear("registrations", device)

    def update(self, device: Device) -> Device:
        """A registration update: a sign of life, or other resources."""
        return self._appear("reg-updates", device)

    def _appear(self, category: str, device: Device) -> Device:
        device = self._devices.keep(replace(device, state=REGISTERED, reachable=True, updated_at=self._clock.now()))
        self._feed.put_everywhere(device.account, [events.endpoint(category, device)])
        for application in self._registry.of_account(device.account):
            self._send(device, self._subscriptions.apply_rules(application.name, device))
        self._commands.back(device)
        return device

    def deregister(self, device: Device) -> None:
        self._leave("de-registrations", device, DEREGISTERED)

    def expire(self, device: Device) -> None:
        """Its lifetime ran out without an update."""
        self._leave("registrations-expired", device, EXPIRED)

    def _leave(self, category: str, device: Device, state: str) -> None:
        device = self._devices.keep(replace(device, state=state))
        self._feed.put_everywhere(device.account, [events.absence(category, device)])
        self._commands.gone(device)

    def sleep(self, device: Device) -> None:
        """Registered, but out of reach until it updates or ``wake`` is called."""
        self._devices.keep(replace(device, reachable=False))

    def wake(self, device: Device) -> None:
        self._commands.back(self._devices.keep(replace(device, reachable=True)))

    def set_value(self, device: Device, path: str, value: str) -> int:
        """A resource has another value (base64), or the same once more; the answer: events queued."""
        return self._report(self._devices.set_value(device, path, value), path)

    def _report(self, device: Device, path: str) -> int:
        return self._send(device, self._subscriptions.observing(device.ep, path))

    def _send(self, device: Device, subscriptions: Iterable[Subscription]) -> int:
        queued = 0
        for subscription in list(subscriptions):
            found = content(device, subscription.path)
            if found is not None:
                event = events.value(device, subscription.path, *found)
                queued += self._feed.put(subscription.application, [event])
        return queued

    # the clock

    def next_lapse(self) -> float | None:
        """When the next registration or command runs out."""
        moments = [at for at, _ in self._devices.lapsing()]
        commands = self._commands.next_expiry()
        return min(moments + ([] if commands is None else [commands]), default=None)

    def lapse(self) -> None:
        """End what has run out."""
        now = self._clock.now()
        for at, device in self._devices.lapsing():
            if at <= now:
                self.expire(device)
        self._commands.expire()
