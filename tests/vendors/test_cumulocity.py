"""The emulator before witnesses: Cumulocity clients that others wrote, with seed 000's own steps.

PyPI ``c8y-api`` and ``pyc8y`` make subscriptions, ask for tokens and listen with their own code; ``websocket-client``
is driven as seed 000 does; npm ``c8y-realtime`` and ``@c8y/client`` do the same from JavaScript.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from c8y_api import AccessDeniedError, CumulocityApi, UnauthorizedError
from c8y_api.app import MultiTenantCumulocityApp, SimpleCumulocityApp
from c8y_api.model import Alarm, Device, Event, Measurement, Operation, Subscription
from c8y_tk.notification2 import AsyncListener, QueueListener
from pyc8y.app import MultiTenantCumulocityApp as Pyc8yApp
from pyc8y.auth import BasicAuth
from pyc8y.client import CumulocityClient
from pyc8y.model.notification2 import Subscription as Pyc8ySubscription
from pyc8y.notification2 import Listener as Pyc8yListener
from pyc8y.notification2 import QueueListener as Pyc8yQueueListener

from tests.emulator.running import DEADLINE_S, Emulator, running_emulator, wait_for
from tests.vendors.node import Driver, install

FOLDER = Path(__file__).parent / "cumulocity"
TIME = "2026-01-01T00:04:00.000Z"

# the request bodies of seed 000, its "inventory" written as the wire has it
TENANT_BODY = {
    "context": "tenant",
    "subscription": "SubscriptionA",
    "subscriptionFilter": {
        "apis": ["alarms", "events", "managedobjects"],
        "typeFilter": "'c8y_BootEvent' or 'c8y_UnavailabilityAlarm'",
    },
}
DEVICE_BODY = {
    "context": "mo",
    "subscription": "SubscriptionB",
    "subscriptionFilter": {"apis": ["measurements"], "typeFilter": "c8y_Measurement"},
}


@dataclass
class World:
    """The emulated platform and what its clients are told; ``closing`` are sessions the clients leave open."""

    emulator: Emulator
    closing: list[requests.Session] = field(default_factory=list)

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = self.emulator.control("/credentials")["cumulocity"]
        return found

    @property
    def devices(self) -> list[str]:
        return list(self.told["devices"])

    def api(self) -> CumulocityApi:
        told = self.told
        return self.closed(CumulocityApi(told["base_url"], told["tenant"], told["user"], told["password"]))

    def closed(self, c8y: CumulocityApi) -> CumulocityApi:
        """The same, its session closed at the end of the test."""
        self.closing.append(c8y.session)
        return c8y

    def pyc8y(self) -> CumulocityClient:
        told = self.told
        auth = BasicAuth(username=f"{told['tenant']}/{told['user']}", password=told["password"])
        return CumulocityClient(base_url=self.emulator.url, tenant_id=told["tenant"], auth=auth)

    def credentials(self) -> dict[str, str]:
        """As the JavaScript clients want them."""
        told = self.told
        return {"baseUrl": told["base_url"], **{name: told[name] for name in ("tenant", "user", "password")}}

    def consumers(self, name: str) -> dict[str, dict[str, int]]:
        items = self.emulator.control("/cumulocity/topics")["items"]
        found = [consumer for topic in items if topic["name"] == name for consumer in topic["consumers"]]
        return {consumer["name"]: consumer for consumer in found}

    def connected(self, name: str, count: int = 1) -> bool:
        return sum(consumer["clients"] for consumer in self.consumers(name).values()) == count

    def acknowledged(self, name: str) -> bool:
        return all(consumer["backlog"] == 0 for consumer in self.consumers(name).values())


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The seed world, and no proxy between it and the clients."""
    monkeypatch.setenv("NO_PROXY", "*")
    emulator.control("/reset", {})
    world = World(emulator)
    yield world
    for session in world.closing:
        session.close()


async def until(look: Callable[[], bool]) -> None:
    """``wait_for`` beside a running event loop."""
    await asyncio.to_thread(wait_for, look)


def alarm(c8y: CumulocityApi, device: str, type: str = "c8y_UnavailabilityAlarm") -> Alarm:
    return Alarm(c8y, type=type, time=TIME, source=device, text="gone", severity="MAJOR").create()


def measurement(c8y: CumulocityApi, device: str, value: float = 1) -> Measurement:
    fragment = {"c8y_T": {"T": {"value": value, "unit": "C"}}}
    return Measurement(c8y, type="c8y_Measurement", source=device, time=TIME, **fragment).create()


# seed 000, step by step, with websocket-client


class Seed:
    """The article's script: four handlers, a ping every 30 s, the first line sent back."""

    def __init__(self, world: World) -> None:
        told = world.told
        self.base = told["base_url"]
        self.session = requests.Session()
        world.closing.append(self.session)
        self.session.auth = (f"{told['tenant']}/{told['user']}", told["password"])

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.session.post(self.base + path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def listen(self, token: str, client: str = "") -> SeedClient:
        named = f"&consumer={client}" if client else ""
        return SeedClient(f"{self.base.replace('http', 'ws')}/notification2/consumer/?token={token}{named}")


class SeedClient:
    """A connected WebSocketApp and what its message handler saw."""

    def __init__(self, url: str) -> None:
        self.got: list[str] = []
        self.opened = threading.Event()
        self.ws = websocket.WebSocketApp(
            url,
            on_open=self._open,
            on_message=self._handle,
            on_error=lambda ws, error: None,
            on_close=lambda ws, code, reason: None,
        )
        self._thread = threading.Thread(
            target=self.ws.run_forever, kwargs={"ping_interval": 30, "http_no_proxy": ["*"]}
        )
        self._thread.start()
        assert self.opened.wait(DEADLINE_S)

    def _open(self, ws: Any) -> None:
        self._raw = ws.sock
        self.opened.set()

    def _handle(self, ws: Any, message: str) -> None:
        ws.send(message.split("\n", 1)[0])
        self.got.append(message)

    def sources(self) -> list[str]:
        return [message.split("\n")[1].rpartition("/")[2] for message in self.got]

    def close(self) -> None:
        """In order, and from the side that reads: the library's own ``close`` is noticed there after 10 s only."""
        with suppress(websocket.WebSocketException, OSError):  # the platform may have closed already
            self._raw.send_close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self._raw.shutdown()  # the library leaves it open where the platform closed first


def test_the_steps_of_the_seed_for_a_tenant(world: World) -> None:
    seed, c8y = Seed(world), world.api()
    made = seed.post("/notification2/subscriptions", TENANT_BODY)
    token_body = {"subscription": "SubscriptionA", "subscriber": "Subscriber1"}
    client = seed.listen(seed.post("/notification2/token", token_body)["token"])
    alarm(c8y, world.devices[0])
    alarm(c8y, world.devices[0], "other")
    wait_for(lambda: len(client.got) == 1)
    assert client.got[0].split("\n")[1:4] == [f"/t123/alarms/{world.devices[0]}", "CREATE", ""]
    client.close()  # closing keeps what was made: the next one waits
    alarm(c8y, world.devices[1])
    again = seed.listen(seed.post("/notification2/token", token_body)["token"])
    wait_for(lambda: again.sources() == [world.devices[1]])
    assert seed.session.delete(f"{seed.base}/notification2/subscriptions/{made['id']}").status_code == 204
    token = seed.post("/notification2/token", token_body)["token"]
    assert seed.post(f"/notification2/unsubscribe/?token={token}") == {"result": "DONE"}
    again.close()
    assert world.consumers("SubscriptionA") == {}


def test_the_steps_of_the_seed_for_a_device(world: World) -> None:
    seed, c8y, (device, other) = Seed(world), world.api(), world.devices[:2]
    made = seed.post("/notification2/subscriptions", {**DEVICE_BODY, "source": {"id": device}})
    token_body = {"subscription": "SubscriptionB", "subscriber": "Subscriber1"}
    client = seed.listen(seed.post("/notification2/token", token_body)["token"])
    measurement(c8y, other)
    Measurement(c8y, type="another", source=device, time=TIME, c8y_T={"T": {"value": 1}}).create()
    measurement(c8y, device)
    wait_for(lambda: client.sources() == [device])
    client.close()
    for value in range(5):
        measurement(c8y, device, value)
    again = seed.listen(seed.post("/notification2/token", token_body)["token"])
    wait_for(lambda: again.sources() == 5 * [device])
    assert seed.session.delete(f"{seed.base}/notification2/subscriptions/{made['id']}").status_code == 204
    token = seed.post("/notification2/token", token_body)["token"]
    assert seed.post(f"/notification2/unsubscribe/?token={token}") == {"result": "DONE"}
    again.close()
    assert world.consumers("SubscriptionB") == {}


def test_two_clients_of_the_seeds_shared_token_divide_the_devices(world: World) -> None:
    seed, c8y = Seed(world), world.api()
    made = [
        seed.post("/notification2/subscriptions", {**DEVICE_BODY, "source": {"id": device}})["id"]
        for device in world.devices
    ]
    body = {"subscription": "SubscriptionB", "subscriber": "Subscriber1", "shared": True}
    token = seed.post("/notification2/token", body)["token"]
    one, two = seed.listen(token, "instance1"), seed.listen(token, "instance2")
    for value in range(3):
        for device in world.devices:
            measurement(c8y, device, value)
    wait_for(lambda: len(one.got) + len(two.got) == 15)
    assert set(one.sources()).isdisjoint(two.sources()) and set(one.sources() + two.sources()) == set(world.devices)
    one.close()
    wait_for(lambda: world.connected("SubscriptionB"))
    seen = len(two.got)
    for device in world.devices:
        measurement(c8y, device)
    wait_for(lambda: len(two.got) == seen + 5)
    for id in made:
        assert seed.session.delete(f"{seed.base}/notification2/subscriptions/{id}").status_code == 204
    assert seed.post(f"/notification2/unsubscribe/?token={token}") == {"result": "DONE"}
    two.close()
    assert world.consumers("SubscriptionB") == {}


# c8y-api


def test_c8y_api_keeps_subscriptions(world: World) -> None:
    c8y, device = world.api(), world.devices[0]
    made = Subscription(
        c8y, name="coldChain", context="mo", source_id=device, api_filter=["alarms"], type_filter="'a' or 'b'"
    ).create()
    assert c8y.notification2_subscriptions.get(made.id).type_filter == "'a' or 'b'"
    assert c8y.notification2_subscriptions.get_count(source=device) == 1
    assert [entry.id for entry in c8y.notification2_subscriptions.get_all(subscription="coldChain")] == [made.id]
    with pytest.raises(ValueError, match="409"):
        Subscription(c8y, name="coldChain", context="mo", source_id=device).create()
    c8y.notification2_subscriptions.delete_by(context="mo", source=device)
    with pytest.raises(KeyError):
        c8y.notification2_subscriptions.get(made.id)


def test_c8y_api_listens_and_its_second_exclusive_listener_waits(world: World) -> None:
    c8y, device = world.api(), world.devices[0]
    Subscription(c8y, name="coldChain", context="mo", source_id=device, api_filter=["alarms"]).create()
    seen: list[tuple[str, str, str]] = []

    def listener(name: str) -> tuple[AsyncListener, Callable[[Any], Awaitable[None]]]:
        async def on_message(message: Any) -> None:
            seen.append((name, message.source, message.json["status"]))

        return AsyncListener(c8y, "coldChain", "ingestOne", auto_unsubscribe=name == "second"), on_message

    async def run() -> None:
        first, second = listener("first"), listener("second")
        first[0].start(first[1])
        await until(lambda: world.connected("coldChain"))
        second[0].start(second[1])
        made = await asyncio.to_thread(alarm, c8y, device)
        await until(lambda: len(seen) == 1 and world.acknowledged("coldChain"))
        first[0].stop()
        await first[0].wait(DEADLINE_S)
        made.status = "CLEARED"
        await asyncio.to_thread(made.update)
        await until(lambda: len(seen) == 2)
        second[0].stop()
        await second[0].wait(DEADLINE_S)

    asyncio.run(run())
    described = f"/t123/alarms/{device}"
    assert seen == [("first", described, "ACTIVE"), ("second", described, "CLEARED")]
    assert world.consumers("coldChain") == {}  # the second one unsubscribed


def test_of_c8y_apis_shared_listeners_one_unsubscribes(world: World, caplog: pytest.LogCaptureFixture) -> None:
    c8y = world.api()
    for device in world.devices:
        Subscription(c8y, name="fleet", context="mo", source_id=device, api_filter=["measurements"]).create()
    listeners = [QueueListener(c8y, "fleet", "ingest", consumer_name=name, shared=True) for name in "abc"]
    with caplog.at_level("INFO", logger="c8y_tk"):
        for listener in listeners:
            listener.start()
        wait_for(lambda: world.connected("fleet", 3))
        for device in world.devices:
            for value in range(2):
                measurement(c8y, device, value)
        wait_for(lambda: sum(listener.queue.qsize() for listener in listeners) == 10)
        sources = [{listener.queue.get().source for _ in range(listener.queue.qsize())} for listener in listeners]
        for listener in listeners:
            listener.stop()
        assert all(listener.wait(DEADLINE_S) for listener in listeners)
    assert sum(map(len, sources)) == len(set.union(*sources)) == 5
    told = [record.getMessage() for record in caplog.records]
    assert sum(text.endswith("unsubscribed.") for text in told) == 1
    assert sum("already unsubscribed" in text for text in told) == 2


def test_of_two_shared_listeners_of_c8y_api_the_one_that_stays_gets_all(world: World) -> None:
    c8y = world.api()
    made = [
        Subscription(
            c8y,
            name="fleet",
            context="mo",
            source_id=device,
            api_filter=["measurements"],
            type_filter="c8y_Measurement",
        ).create()
        for device in world.devices
    ]
    one, two = (
        QueueListener(c8y, "fleet", "ingest", consumer_name=name, shared=True, auto_unsubscribe=name == "two")
        for name in ("one", "two")
    )
    for listener in (one, two):
        listener.start()
    wait_for(lambda: world.connected("fleet", 2))
    one.stop()
    assert one.wait(DEADLINE_S)
    wait_for(lambda: world.connected("fleet"))
    for device in world.devices:
        measurement(c8y, device)
    got = {two.queue.get(timeout=DEADLINE_S).source.rpartition("/")[2] for _ in world.devices}
    assert got == set(world.devices)
    for subscription in made:
        subscription.delete()
    two.stop()
    assert two.wait(DEADLINE_S)
    assert world.consumers("fleet") == {}


def test_c8y_apis_devices_alarms_events_measurements_and_operations_are_told(world: World) -> None:
    c8y = world.api()
    apis = ["managedobjects", "alarms", "events", "operations", "measurements"]
    body = {"context": "tenant", "subscription": "all", "subscriptionFilter": {"apis": apis}}
    c8y.post("/notification2/subscriptions", body)  # its own class cannot read a reply without a source
    listener = QueueListener(c8y, "all", "reader")
    listener.start()
    wait_for(lambda: world.connected("all"))
    device = Device(c8y, type="acme_Freezer", name="Freezer 9").create()
    alarm(c8y, device.id)
    event = Event(c8y, type="acme_Door", time=TIME, source=device.id, text="opened").create()
    measurement(c8y, device.id)
    operation = Operation(c8y, device_id=device.id, description="Restart").create()
    operation.status = Operation.Status.EXECUTING
    operation.update()
    event.delete()
    expected = [
        ("managedobjects", "CREATE"),
        ("alarms", "CREATE"),
        ("events", "CREATE"),
        ("measurements", "CREATE"),
        ("operations", "CREATE"),
        ("operations", "UPDATE"),
        ("events", "DELETE"),
    ]
    messages = [listener.queue.get(timeout=DEADLINE_S) for _ in expected]
    listener.stop()
    assert listener.wait(DEADLINE_S)
    assert [(message.source.split("/")[2], message.action) for message in messages] == expected
    assert {message.source.split("/")[3] for message in messages} == {device.id}
    assert [entry.name for entry in c8y.inventory.get_all(type="acme_Freezer", name="Freezer 9")] == ["Freezer 9"]
    assert [entry.id for entry in c8y.alarms.get_all(source=device.id)] != []


def test_c8y_apis_applications_find_their_tenants(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in world.emulator.environment().items():
        if name.startswith("C8Y_"):
            monkeypatch.setenv(name, value)
    world.emulator.control("/provision", {"tenants": ["cumulocity/t125"]})
    app = MultiTenantCumulocityApp()
    world.closed(app.bootstrap_instance)
    assert app.get_subscribers() == ["t123", "t124", "t125"]
    instance = world.closed(app.get_tenant_instance("t125"))
    assert len(instance.inventory.get_all(type="acme_Freezer")) == 5
    single = world.closed(SimpleCumulocityApp())
    assert [device.id for device in single.inventory.get_all(type="acme_Freezer")] == world.devices


def test_c8y_api_is_told_what_it_may_not(world: World) -> None:
    world.emulator.control("/cumulocity/users", {"tenant": "t123", "name": "admin", "roles": ["ROLE_ALARM_READ"]})
    with pytest.raises(AccessDeniedError):
        world.api().notification2_tokens.generate("x", subscriber="y")
    told = world.told
    wrong = world.closed(CumulocityApi(told["base_url"], "t123", "admin", "guessed"))
    with pytest.raises(UnauthorizedError):
        wrong.notification2_tokens.generate("x", subscriber="y")


# pyc8y


def test_pyc8y_subscribes_listens_and_goes(world: World) -> None:
    c8y_api = world.api()

    async def run() -> list[tuple[str, str]]:
        async with world.pyc8y() as c8y:
            made = await Pyc8ySubscription(
                c8y, name="tenantWide", context="tenant", api_filter=["alarms", "managedobjects"]
            ).create()
            listener = Pyc8yQueueListener(c8y, "tenantWide", "pyOne")
            listener.start()
            await until(lambda: world.connected("tenantWide"))
            await asyncio.to_thread(alarm, c8y_api, world.devices[0])
            message = await asyncio.wait_for(listener.queue.get(), DEADLINE_S)
            await until(lambda: world.acknowledged("tenantWide"))
            listener.stop()
            await listener.wait(DEADLINE_S)
            await made.delete()
            return [(message.source, message.action)]

    assert asyncio.run(run()) == [(f"/t123/alarms/{world.devices[0]}", "CREATE")]
    assert world.consumers("tenantWide") == {}


def test_pyc8y_comes_back_after_the_platform_was_away(world: World) -> None:
    c8y_api, seen = world.api(), []
    device = world.devices[0]
    Subscription(c8y_api, name="away", context="mo", source_id=device, api_filter=["measurements"]).create()

    async def on_message(message: Any) -> None:
        seen.append(message.json["c8y_T"]["T"]["value"])

    async def run() -> None:
        async with world.pyc8y() as c8y:
            listener = Pyc8yListener(c8y, "away", "reader")
            listener.start(on_message)
            await until(lambda: world.connected("away"))
            for value in range(6):
                world.emulator.control("/fault", {"name": "n2-cut" if value % 2 else "none"})
                await asyncio.to_thread(measurement, c8y_api, device, value)
                await until(lambda value=value: value in seen)  # type: ignore[misc]
            world.emulator.control("/fault", {"name": "none"})
            await until(lambda: world.acknowledged("away") and world.connected("away"))
            listener.stop()
            await listener.wait(DEADLINE_S)

    asyncio.run(run())
    assert sorted(set(seen)) == list(range(6))


def test_shared_listeners_of_pyc8y_divide_the_devices_and_come_back_without_loss(world: World) -> None:
    c8y_api, devices = world.api(), world.devices
    for device in devices:
        Subscription(c8y_api, name="fleet", context="mo", source_id=device, api_filter=["measurements"]).create()

    def listener(c8y: CumulocityClient, name: str, last: bool = False) -> Pyc8yQueueListener:
        made = Pyc8yQueueListener(c8y, "fleet", "pyShared", consumer_name=name, shared=True, auto_unsubscribe=last)
        made.start()
        return made

    async def sources(listener: Pyc8yQueueListener, count: int) -> list[str]:
        return [(await asyncio.wait_for(listener.queue.get(), DEADLINE_S)).source for _ in range(count)]

    async def run() -> None:
        async with world.pyc8y() as c8y:
            one, two = listener(c8y, "one"), listener(c8y, "two")
            await until(lambda: world.connected("fleet", 2))
            for device in devices * 2:
                await asyncio.to_thread(measurement, c8y_api, device)
            await until(lambda: one.queue.qsize() + two.queue.qsize() == 10)
            first, second = await sources(one, one.queue.qsize()), await sources(two, two.queue.qsize())
            assert set(first).isdisjoint(second) and len(set(first + second)) == 5
            for each in (one, two):
                each.stop()
                await each.wait(DEADLINE_S)
            for device in devices:  # nobody is there, and the consumer is
                await asyncio.to_thread(measurement, c8y_api, device)
            last = listener(c8y, "one", last=True)
            assert set(await sources(last, 5)) == set(first + second)
            last.stop()
            await last.wait(DEADLINE_S)

    asyncio.run(run())
    assert world.consumers("fleet") == {}


def test_pyc8ys_application_finds_its_tenants(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in world.emulator.environment().items():
        if name.startswith("C8Y_"):
            monkeypatch.setenv(name, value.removesuffix("/c8y"))  # it joins paths as if there were none in the base

    async def run() -> list[str]:
        async with Pyc8yApp() as app:
            await app.get_tenant_instance("t124")
            return list(await app.get_subscribers())

    assert asyncio.run(run()) == ["t123", "t124"]


# JavaScript


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    install(FOLDER)
    with Driver(FOLDER / "client.mjs", tmp_path_factory.mktemp("home")) as driver:
        yield driver


def test_c8y_realtime_and_the_vendors_web_client_work_together(world: World, driver: Driver) -> None:
    """One makes a device and an alarm, the other is told of both."""
    driver("open", "reader", world.credentials())
    driver("platform", "maker", world.credentials())
    wanted = {
        "context": "tenant",
        "subscription": "jsAll",
        "subscriptionFilter": {"apis": ["alarms", "managedobjects"]},
    }
    made = driver("subscriptions", "reader", "ensure", wanted)
    assert driver("subscriptions", "reader", "ensure", wanted)["id"] == made["id"]  # after a 409
    driver("read", "reader", "jsAll", {"subscriber": "jsOne", "autoAck": True})
    pending = threading.Thread(target=lambda: seen.append(driver("next", "reader")))
    seen: list[Any] = []
    pending.start()  # it connects when it is first asked
    wait_for(lambda: world.connected("jsAll"))
    device = Device(world.api(), type="acme_Freezer", name="from Python").create()
    pending.join(DEADLINE_S)
    assert (seen[0]["action"], seen[0]["description"]["sourceId"]) == ("CREATE", device.id)
    created = driver("call", "maker", "inventory", "create", {"name": "from JavaScript", "c8y_IsDevice": {}})
    body = {"source": {"id": created["id"]}, "type": "acme_X", "text": "x", "severity": "MINOR", "time": TIME}
    driver("call", "maker", "alarm", "create", body)
    first, second = driver("next", "reader"), driver("next", "reader")
    assert (first["payload"]["name"], second["payload"]["type"]) == ("from JavaScript", "acme_X")
    assert second["description"]["type"] == "alarms"
    assert driver("call", "maker", "inventory", "detail", created["id"])["c8y_ActiveAlarmsStatus"]["minor"] == 1
    driver("subscriptions", "reader", "delete", made["id"])
    driver("close", "reader")
    wait_for(lambda: world.connected("jsAll", 0))
