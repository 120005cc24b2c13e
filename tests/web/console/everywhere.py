"""A console whose service subscribes on every platform: MindSphere made small, the others emulated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from subscriber.model import Tenant
from tests.cumulocity.conftest import COLD
from tests.cumulocity.conftest import World as Cumulocity
from tests.emulator.running import Emulator
from tests.web.console.world import World, world

T123, T124, CELLAR = Tenant("cumulocity", "t123"), Tenant("cumulocity", "t124"), Tenant("pelion", "cellar")
ALARMS, OTHER_FILTERS = {**COLD, "apis": ["alarms"]}, {**COLD, "apis": ["events"]}
LIGHTS = {"endpoint-type": "Light", "resource-path": ["/3311/*"]}
GATEWAY = {
    "tenant": "t123",
    "path": "/notification/operations",
    "x_id": "com.acme.gw-v3",
    "channels": ["/5010"],
    "templates": [{"id": "500", "topic": "c8y.restart", "values": {"id": "$.id"}}],
}


def failing(error: Exception) -> Any:
    """A way to open registrars that does not succeed."""

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[Sequence[Any]]:
        raise error
        yield []

    return opened


class Everywhere:
    """What the platforms have, and consoles in front of them that share one store."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.cumulocity = Cumulocity(emulator)
        self._emulator = emulator
        self._folder = folder

    def environ(self, rule: dict[str, Any] = ALARMS, rules: tuple[dict[str, Any], ...] = (LIGHTS,)) -> dict[str, str]:
        """The settings. ``rule`` is Cumulocity's, ``rules`` are Pelion's presubscriptions."""
        known = self._emulator.control("/credentials")["pelion"]
        key = next(one["api_key"] for one in known["channels"] if one["name"] == CELLAR.name)
        channel = {
            "name": CELLAR.name,
            "api_key": key,
            "host": known["host"],
            "mode": "websocket",
            "presubscriptions": rules,
        }
        return {
            **self.cumulocity.environ(rule),
            "C8Y_REALTIME": json.dumps([GATEWAY]),
            "PELION_CHANNELS": json.dumps([channel]),
        }

    @contextmanager
    def console(self, **environ: str) -> Iterator[World]:
        """A console with these settings, over the same store each time."""
        with world(self._folder, environ) as made:
            yield made

    def filters(self, tenant: Tenant) -> list[dict[str, Any]]:
        """Of the rules there are."""
        return [rule["subscriptionFilter"] for rule in self.cumulocity.rules(tenant.name)]

    def rewrite(self, tenant: Tenant, apis: list[str]) -> None:
        """Somebody else makes the tenant's only rule anew, with other filters."""
        (rule,) = self.cumulocity.rules(tenant.name)
        self.cumulocity.ask("DELETE", f"/notification2/subscriptions/{rule['id']}", tenant.name)
        body = {"context": "tenant", "subscription": rule["subscription"], "subscriptionFilter": {"apis": apis}}
        assert self.cumulocity.ask("POST", "/notification2/subscriptions", tenant.name, body).status_code == 201


def seen(text: str) -> dict[str, str]:
    """What a page's form says of the plans that it shows."""
    return dict(re.findall(r'name="(seen-\w+)" value="(\w+)"', text))
