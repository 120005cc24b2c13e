"""The emulated Pelion as a subscriber sees it: REST calls with a key, a callback receiver, sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.emulator.conftest import World
from tests.emulator.pelion.socket import Socket
from tests.emulator.running import Client, Emulator, Receiver, wait_for

DEVICE = "017f0000000000000000000100100001"
SLEEPER = "017f0000000000000000000100100003"  # in queue mode
FOREIGN = "017f0000000000000000000100100009"  # of another account
PATH = "/3303/0/5700"
FLAGS = ("include_uid", "include_timestamp", "include_original_ep", "deregistrations_as_object")
FULL = {"type": "v2", "cfg": dict.fromkeys(FLAGS, True)}


@dataclass
class Pelion:
    """Calls are made as the application ``cellar`` unless another one is named."""

    world: World
    sockets: list[Socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.credentials: dict[str, Any] = self.control("/credentials")["pelion"]
        self.host: str = self.credentials["host"]
        self.keys = {entry["name"]: entry["api_key"] for entry in self.credentials["channels"]}

    @classmethod
    def of(cls, emulator: Emulator, app: Receiver) -> Pelion:
        """On an emulator of the test's own."""
        return cls(World(emulator, app, Client(emulator.credentials())))

    @property
    def app(self) -> Receiver:
        return self.world.app

    def control(self, path: str, members: dict[str, Any] | None = None) -> Any:
        return self.world.emulator.control(path, members)

    def call(
        self, method: str, path: str, *, application: str = "cellar", key: str | None = None, **request: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.keys[application]}", **request.pop("headers", {})}
        return self.world.client.session.request(method, self.host + path, headers=headers, **request)

    def callback(self, application: str = "cellar", **members: Any) -> requests.Response:
        """Register the receiver; ``members`` are more of the registration."""
        body = {"url": f"{self.app.url}/{application}", **members}
        return self.call("PUT", "/v2/notification/callback", application=application, json=body)

    def websocket(self, application: str = "cellar", serialization: Any = None) -> requests.Response:
        body = None if serialization is None else {"serialization": serialization}
        return self.call("PUT", "/v2/notification/websocket", application=application, json=body)

    def connect(self, application: str = "cellar", *, key: str | None = None, **how: Any) -> Socket:
        socket = Socket(self.host, key or self.keys[application], **how)
        self.sockets.append(socket)
        return socket

    def subscribe(self, path: str = PATH, device: str = DEVICE, application: str = "cellar") -> requests.Response:
        return self.call("PUT", f"/v2/subscriptions/{device}{path}", application=application)

    def publish(self, tenant: str = "cellar", **members: Any) -> dict[str, int]:
        answer: dict[str, int] = self.control("/publish", {"tenant": f"pelion/{tenant}", **members})
        return answer

    def act(self, act: str, ep: str = DEVICE, **members: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.control("/pelion/devices", {"act": act, "ep": ep, **members})
        return answer

    def value(self, value: str, ep: str = DEVICE, path: str = PATH) -> int:
        published: int = self.control("/pelion/values", {"ep": ep, "path": path, "value": value})["published"]
        return published

    def state(self, application: str = "cellar") -> dict[str, Any] | None:
        """The channel, as the cockpit sees it; None if there is none."""
        channels = self.control("/pelion/channels")["channels"]
        return next((entry for entry in channels if entry["name"] == application), None)

    def connected(self) -> None:
        """Wait until the socket is bound to the channel."""
        wait_for(lambda: (self.state() or {}).get("connected"))

    def batches(self) -> list[dict[str, Any]]:
        """What the callback receiver got, probes left out."""
        return [document for request in self.app.got if (document := json.loads(request.body))]

    def items(self, category: str) -> list[Any]:
        return [item for batch in self.batches() for item in batch.get(category, [])]

    def received(self, count: int) -> list[dict[str, Any]]:
        """The batches, as soon as there are that many."""
        wait_for(lambda: len(self.batches()) >= count)
        return self.batches()


@pytest.fixture
def pelion(world: World) -> Iterator[Pelion]:
    pelion = Pelion(world)
    yield pelion
    for socket in pelion.sockets:
        socket.drop()
