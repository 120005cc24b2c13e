"""Pelion's own control verbs: publishing, what happens to devices, keys, and ending sockets on demand."""

from __future__ import annotations

import asyncio
import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import cycle, islice
from random import Random

from emulator.control import ControlError, Fields, Verb
from emulator.faults import Chance
from emulator.pelion.channels import Channel
from emulator.pelion.connection import CODES, GOING_AWAY
from emulator.pelion.devices import Device, Resource
from emulator.pelion.events import VALUE_PATH, Composer, Event, verbatim
from emulator.pelion.platform import Pelion
from emulator.pelion.registry import Application, RegistryError
from emulator.pelion.serialization import CATEGORIES

MAX_EVENTS = 2_000_000  # in one call
CHUNK = 2_000  # events per transaction: some milliseconds in which nothing else runs
ACTS = ("register", "update", "deregister", "expire", "sleep", "wake")


class Cockpit:
    """``nudge`` tells the timekeeper that something new is planned."""

    def __init__(self, platform: Pelion, chance: Chance, nudge: Callable[[], None]) -> None:
        self._platform = platform
        self._chance = chance
        self._nudge = nudge

    def verbs(self) -> dict[tuple[str, str], Verb]:
        return {
            ("GET", "/pelion/channels"): self.channels,
            ("GET", "/pelion/devices"): self.devices,
            ("POST", "/pelion/devices"): self.act,
            ("POST", "/pelion/values"): self.set_value,
            ("POST", "/pelion/ping"): self.ping,
            ("POST", "/pelion/close"): self.close,
            ("GET", "/pelion/accounts"): self.accounts,
            ("POST", "/pelion/keys"): self.add_key,
            ("POST", "/pelion/keys/revoke"): self.revoke,
            ("GET", "/pelion/certificates"): self.certificates,
        }

    # publishing

    async def publish(self, fields: Fields) -> Mapping[str, object]:
        """Events straight into the named applications' channels, subscribed to or not; all of them by default."""
        count = fields.whole("count", 1, low=1, high=MAX_EVENTS)
        given = _given(fields)
        topics = self._topics(fields) if given is None else list(given)
        applications = self._applications(fields)
        if count * len(topics) * len(applications) > MAX_EVENTS:
            raise ControlError(f"at most {MAX_EVENTS} events in one call")
        shares = {name: fields.number(name, high=1) for name in ("duplicate", "reorder") if name in fields}
        messages = published = 0
        for application in applications:
            for events in self._events(application, topics, count, given):
                messages += len(events)
                published += self._platform.feed.put(application.name, events, **shares)
                await asyncio.sleep(0)  # let deliveries and requests in
        self._nudge()
        return {"messages": messages, "published": published}

    def _applications(self, fields: Fields) -> list[Application]:
        names = fields.words("tenant") + fields.words("tenants")
        found = [self._application(name) for name in names]
        return found or self._platform.registry.applications()

    def _application(self, name: str) -> Application:
        application = self._platform.registry.application(name)
        if application is None:
            raise ControlError("there is no such application or key")
        return application

    def _topics(self, fields: Fields) -> list[str]:
        topics = fields.words("topic") or ["notifications"]
        for topic in topics:
            if topic not in CATEGORIES:
                raise ControlError(f"there is no category {topic[:40]!r}; there are: {', '.join(CATEGORIES)}")
        return topics

    def _events(
        self, application: Application, topics: list[str], count: int, given: Mapping[str, list[Event]] | None
    ) -> Iterator[list[Event]]:
        """In chunks: composed ones about the account's devices in turn, or the given ones again and again."""
        # seeded by what was published before: repeatable, and never the same twice
        composer = Composer(Random(f"{self._chance.seed}/{self._platform.queue.totals.published}"))
        devices = list(self._platform.devices.of_account(application.account))
        if given is None and not devices:
            raise ControlError(f"the account {application.account} has no devices")
        for topic in topics:
            if given is not None:
                events = (event for _ in range(count) for event in given[topic])
            else:
                events = (composer.event(topic, device) for device in islice(cycle(devices), count))
            while chunk := list(islice(events, CHUNK)):
                yield chunk

    # devices

    async def devices(self, fields: Fields) -> Mapping[str, object]:
        registry, devices = self._platform.registry, self._platform.devices
        found = [device for account in registry.accounts() for device in devices.of_account(account.name)]
        return {"devices": [_device_json(device) for device in found]}

    async def act(self, fields: Fields) -> Mapping[str, object]:
        """``act``: register, update, deregister, expire, sleep or wake; registering may make a new device."""
        act = fields.text("act", "register")
        if act not in ACTS:
            raise ControlError(f"act is one of {', '.join(ACTS)}")
        device = self._device(fields, makes=act == "register")
        getattr(self._platform.world, act)(device)
        self._nudge()
        found = self._platform.devices.find(device.ep)
        assert found is not None
        return _device_json(found)

    def _device(self, fields: Fields, *, makes: bool = False) -> Device:
        ep = fields.text("ep")
        known = self._platform.devices.find(ep)
        if known is None and not makes:
            raise ControlError("there is no such device")
        account = self._account(fields)
        device = known or Device(ep=ep, account=account, name=ep, type="")
        return replace(
            device,
            name=fields.text("name", device.name),
            type=fields.text("type", device.type),
            queue_mode=fields.flag("queue_mode") if "queue_mode" in fields else device.queue_mode,
            lifetime_s=fields.number("lifetime_s", device.lifetime_s),
            resources=_resources(fields) if "resources" in fields else device.resources,
        )

    def _account(self, fields: Fields) -> str:
        accounts = [account.name for account in self._platform.registry.accounts()]
        account = fields.text("account", "acme")
        if account not in accounts:
            raise ControlError(f"there is no account {account[:40]!r}; there are: {', '.join(accounts)}")
        return account

    async def set_value(self, fields: Fields) -> Mapping[str, object]:
        """``value`` as text, or ``value_base64``; the answer: events queued for subscribers."""
        device = self._device(fields)
        queued = self._platform.world.set_value(device, fields.text("path", VALUE_PATH), _value(fields))
        self._nudge()
        return {"published": queued}

    # channels and sockets

    async def channels(self, fields: Fields) -> Mapping[str, object]:
        return {"channels": [self._channel_json(channel) for channel in self._platform.channels.all()]}

    def _channel_json(self, channel: Channel) -> dict[str, object]:
        waiting = self._platform.queue.waiting(channel.application)
        return {
            "name": channel.application,
            "kind": channel.kind,
            "url": channel.url,
            "connected": channel.connected,
            "waiting": waiting.events,
            "waiting_bytes": waiting.bytes,
            "attempts": channel.attempts,
            "retry_at": channel.retry_at,
            "failing_since": channel.failing_since,
        }

    async def ping(self, fields: Fields) -> Mapping[str, object]:
        """Ping now; ``pinged`` is false if no socket is open."""
        return {"pinged": self._platform.sockets.ping(self._application(fields.text("tenant")).name)}

    async def close(self, fields: Fields) -> Mapping[str, object]:
        """End the socket with ``code``; 1006 breaks the connection. ``closed`` is false if none is open."""
        code = fields.whole("code", GOING_AWAY)
        if code not in CODES:
            raise ControlError(f"code is one of {', '.join(map(str, CODES))}")
        application = self._application(fields.text("tenant"))
        return {"closed": self._platform.sockets.end(application.name, code, fields.text("message", "on demand"))}

    # accounts and keys

    async def accounts(self, fields: Fields) -> Mapping[str, object]:
        """Every account with its login token (no key: 403) and its applications' keys."""
        registry = self._platform.registry
        return {
            "accounts": [
                {
                    "name": account.name,
                    "id": account.id,
                    "login_token": account.login_token,
                    "applications": {entry.name: registry.keys(entry) for entry in registry.of_account(account.name)},
                }
                for account in registry.accounts()
            ]
        }

    async def add_key(self, fields: Fields) -> Mapping[str, object]:
        """One more key for ``application``, which may be a new one of ``account``."""
        try:
            key = self._platform.registry.add_key(fields.text("application"), self._account(fields))
        except RegistryError as error:
            raise ControlError(str(error)) from error
        return {"key": key.value}

    async def revoke(self, fields: Fields) -> Mapping[str, object]:
        """The key is refused from now on; a socket opened with it is closed with 1008."""
        key = fields.text("key")
        self._platform.registry.revoke(key)
        self._platform.sockets.end_key(key)
        return {"revoked": True}

    async def certificates(self, fields: Fields) -> Mapping[str, object]:
        """Root and intermediate behind the certificate that https callbacks are shown, as PEM."""
        certificates = self._platform.certificates
        return {"root": certificates.root_pem(), "intermediate": certificates.intermediate_pem()}


def _given(fields: Fields) -> dict[str, list[Event]] | None:
    """``body`` (JSON or text) or ``body_base64``: a NotificationMessage whose items are queued one by one."""
    if "body_base64" not in fields and "body" not in fields:
        return None
    try:
        raw = b64decode(fields.text("body_base64"), validate=True) if "body_base64" in fields else fields.raw("body")
        found = json.loads(raw) if isinstance(raw, str | bytes) else raw
    except (ValueError, binascii.Error, RecursionError) as error:
        raise ControlError("the body is not JSON") from error
    if not isinstance(found, dict) or not all(_are_items(items) for items in found.values()):
        raise ControlError("the body is an object of arrays, as it is delivered")
    unknown = set(found) - set(CATEGORIES)
    if unknown:
        raise ControlError(f"there is no category {min(unknown)[:40]!r}")
    return {category: [verbatim(category, item) for item in items] for category, items in found.items()}


def _are_items(items: object) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict | str) for item in items)


def _value(fields: Fields) -> str:
    if "value_base64" not in fields:
        return b64encode(fields.text("value").encode()).decode()
    try:
        b64decode(fields.text("value_base64"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ControlError("value_base64 is not base64") from error
    return fields.text("value_base64")


def _resources(fields: Fields) -> dict[str, Resource]:
    """``resources``: values as text by path, e.g. ``{"/3303/0/5700": "21.5"}``; all of them observable."""
    found = fields.raw("resources")
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ControlError("resources must be an object of texts")
    return {path: Resource(path, b64encode(value.encode()).decode()) for path, value in found.items()}


def _device_json(device: Device) -> dict[str, object]:
    return {
        "ep": device.ep,
        "account": device.account,
        "name": device.name,
        "type": device.type,
        "state": device.state,
        "reachable": device.reachable,
        "queue_mode": device.queue_mode,
        "resources": {path: entry.value for path, entry in device.resources.items()},
    }
