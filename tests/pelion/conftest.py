"""The emulated platform with its applications, a store whose clock the test moves, and offices between them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

import migrations
from subscriber.model import Tenant
from subscriber.pelion import Office, build
from subscriber.pelion.standing import unheard
from subscriber.settings import Settings
from subscriber.store import Store, open_store
from tests.emulator.running import Emulator, Receiver, receiver, running_emulator
from tests.store.making import Clock

CELLAR, GATES = Tenant("pelion", "cellar"), Tenant("pelion", "gates")
DEVICE = "017f0000000000000000000100100001"
PATH = "/3303/0/5700"
RULE = {"endpoint-type": "Light", "resource-path": ["/3311/*"]}
OTHERS = {"resource-path": ["/3/0/0"]}  # somebody else's presubscription
FLAGS = ("include_uid", "include_timestamp", "include_original_ep", "deregistrations_as_object")
MakeOffice = Callable[..., Office]


@dataclass
class World:
    """The platform: what it has, and what its people do. Calls are made as ``cellar`` unless another is named."""

    emulator: Emulator
    app: Receiver

    def __post_init__(self) -> None:
        known = self.emulator.control("/credentials")["pelion"]
        self.host: str = known["host"]
        self.keys = {entry["name"]: entry["api_key"] for entry in known["channels"]}

    def channel(self, name: str = "cellar", mode: str = "websocket", **more: Any) -> dict[str, Any]:
        return {"name": name, "api_key": self.keys[name], "host": self.host, "mode": mode, **more}

    def environ(self, *channels: dict[str, Any], **more: str) -> dict[str, str]:
        return {"PELION_CHANNELS": json.dumps(channels or (self.channel(),)), "PUBLIC_URL": self.app.url, **more}

    def ask(self, method: str, path: str, body: Any = None, *, application: str = "cellar") -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {self.keys[application]}"}
            return session.request(method, self.host + path, json=body, headers=headers)

    def kind(self) -> str | None:
        answer = self.ask("GET", "/v2/notification/channel")
        return str(answer.json()["delivery_mechanism"]) if answer.status_code == 200 else None

    def rules(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v2/subscriptions").json()
        return found

    def observed(self, device: str = DEVICE) -> list[str]:
        answer = self.ask("GET", f"/v2/subscriptions/{device}")
        return answer.text.split() if answer.status_code == 200 else []

    def act(self, act: str, ep: str = DEVICE) -> None:
        self.emulator.control("/pelion/devices", {"act": act, "ep": ep})

    def turn(self, **knobs: object) -> None:
        self.emulator.control("/knobs", {f"EMU_{name.upper()}": value for name, value in knobs.items()})

    def advance(self, seconds: float) -> None:
        self.emulator.control("/clock", {"advance": seconds})


@pytest.fixture(scope="session")
def app() -> Iterator[Receiver]:
    with receiver() as app:
        yield app


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator, app: Receiver) -> World:
    emulator.control("/reset", {})
    app.forget()
    app.answer(200)
    return World(emulator, app)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/subscriber.db"
    migrations.apply(url)
    with closing(open_store(url, clock=clock)) as store:
        yield store


@pytest.fixture
def office_with(world: World, store: Store, clock: Clock) -> Iterator[MakeOffice]:
    """Builds offices of some channels."""
    opened: list[Office] = []

    def make(*channels: dict[str, Any], by_hand: bool = False, created: Any = unheard, **environ: str) -> Office:
        settings = Settings.from_environ(world.environ(*channels, **environ))
        stop = threading.Event()
        made = build(settings, store, by_hand=by_hand, stop=stop, created=created, jitter=lambda: 0.0, clock=clock)
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.registrar.close()


def states(store: Store) -> dict[str, str]:
    """State by ``tenant topic``."""
    return {f"{row.tenant.name} {row.topic}": row.state for row in store.registry.subscriptions("pelion")}
