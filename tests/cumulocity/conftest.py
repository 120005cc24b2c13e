"""The emulated platform with its two tenants, a store whose clock the test moves, and registrars between them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

import migrations
from subscriber.cumulocity import build, open_directory
from subscriber.cumulocity.registrar import Registrar
from subscriber.model import Tenant
from subscriber.settings import CumulocitySettings, Settings
from subscriber.store import Store, open_store
from tests.emulator.running import Emulator, running_emulator
from tests.store.making import Clock

T123, T124 = (Tenant("cumulocity", name) for name in ("t123", "t124"))
COLD = {"name": "coldChain", "subscriber": "ingest", "context": "tenant", "apis": ["alarms", "inventory"]}
SERVICE = "service_notification-hub"
MakeRegistrar = Callable[..., Registrar]


@dataclass
class World:
    """The platform: what it has, and what its people do."""

    emulator: Emulator

    def environ(self, *subscriptions: dict[str, Any], **more: str) -> dict[str, str]:
        """The settings of a microservice of many tenants."""
        known = self.emulator.control("/credentials")["cumulocity"]
        return {
            "C8Y_BASEURL": known["base_url"],
            "C8Y_MICROSERVICE_ISOLATION": "MULTI_TENANT",
            **{f"C8Y_BOOTSTRAP_{name.upper()}": value for name, value in known["bootstrap"].items()},
            "APPLICATION_NAME": "notification-hub",
            "C8Y_SUBSCRIPTIONS": json.dumps(subscriptions or (COLD,)),
            **more,
        }

    def ask(self, method: str, path: str, tenant: str = "t123", body: Any = None) -> requests.Response:
        """As the tenant's admin."""
        known = self.emulator.control("/cumulocity/users", {"tenant": tenant, "name": "admin"})
        with requests.Session() as session:
            session.trust_env = False
            session.auth = (f"{tenant}/admin", known["password"])
            return session.request(method, f"{self.emulator.url}/c8y{path}", json=body)

    def rules(self, tenant: str = "t123") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/notification2/subscriptions?pageSize=2000", tenant).json()[
            "subscriptions"
        ]
        return found

    def devices(self, tenant: str = "t123") -> list[str]:
        found: list[str] = self.emulator.control(f"/credentials?tenant=cumulocity/{tenant}")["cumulocity"]["devices"]
        return found

    def consumers(self) -> set[tuple[str, str, str]]:
        """(tenant, topic, consumer)"""
        topics = self.emulator.control("/cumulocity/topics")["items"]
        return {(topic["tenant"], topic["name"], one["name"]) for topic in topics for one in topic["consumers"]}

    def provision(self, *tenants: str) -> None:
        self.emulator.control("/provision", {"tenants": [f"cumulocity/{one}" for one in tenants]})

    def deprovision(self, *tenants: str) -> None:
        self.emulator.control("/deprovision", {"tenants": [f"cumulocity/{one}" for one in tenants]})

    def roles(self, tenant: str, *roles: str) -> None:
        self.emulator.control("/cumulocity/users", {"tenant": tenant, "name": SERVICE, "roles": list(roles)})

    def rotate(self) -> None:
        self.emulator.control("/cumulocity/rotate-service-users", {})

    def turn(self, **knobs: object) -> None:
        self.emulator.control("/knobs", {f"EMU_{name.upper()}": value for name, value in knobs.items()})

    def fault(self, name: str, **more: float) -> None:
        self.emulator.control("/fault", {"name": name, **more})


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator) -> World:
    emulator.control("/reset", {})
    return World(emulator)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/subscriber.db"
    migrations.apply(url)
    with closing(open_store(url, clock=clock)) as store:
        yield store


def settings_of(environ: dict[str, str]) -> CumulocitySettings:
    found = Settings.from_environ(environ).cumulocity
    assert found is not None
    return found


@pytest.fixture
def registrar_with(world: World, store: Store, clock: Clock) -> Iterator[MakeRegistrar]:
    """Builds registrars of some subscriptions; each with a directory of its own, so that lists are read anew."""
    opened: list[Any] = []

    def make(*subscriptions: dict[str, Any], by_hand: bool = False) -> Registrar:
        settings = settings_of(world.environ(*subscriptions))
        stop = threading.Event()
        directory = open_directory(settings, stop=stop)
        made = build(settings, store, directory, by_hand=by_hand, stop=stop, jitter=lambda: 0.0, clock=clock)
        opened.extend((made, directory))
        return made

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def registrar(registrar_with: MakeRegistrar) -> Registrar:
    return registrar_with()


def states(store: Store) -> dict[str, str]:
    """State by ``tenant topic``."""
    return {f"{row.tenant.name} {row.topic}": row.state for row in store.registry.subscriptions("cumulocity")}


LATER = timedelta(hours=4)  # more than leftovers wait
