"""Real-time notifications before witnesses: Bayeux clients that others wrote, and what the vendor's own devices send.

npm ``cometd`` and the vendor's ``@c8y/client`` speak JSON to the server that SmartREST speaks CSV to; what they
receive is compared with the rows of a SmartREST session that listened to the same. The requests of the vendor's two
retired SmartREST clients (C++ and Java ME) were recorded when those ran, and are sent again byte for byte.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.cumulocity.realtime.client import REALTIME, Device, rows
from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import DEADLINE_S, Emulator, running_emulator, wait_for
from tests.vendors.node import Driver, install

FOLDER = Path(__file__).parent / "smartrest"
KINDS = ("alarms", "events", "measurements", "operations", "managedobjects")
EVERY = "11,100,,$.data.id,$.realtimeAction,$.data.id,$.data.lastUpdated"  # a row for whatever happens
CLIENTS = ("cometd", "cometd with acknowledgement", "c8y")


@dataclass
class World:
    """The emulated platform, its clock standing still."""

    emulator: Emulator

    def turn(self, **knobs: object) -> None:
        self.emulator.control("/knobs", {f"EMU_{name.upper()}": value for name, value in knobs.items()})

    def fault(self, name: str) -> None:
        self.emulator.control("/fault", {"name": name})

    def advance(self, seconds: float) -> None:
        self.emulator.control("/clock", {"advance": seconds})


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator) -> World:
    emulator.control("/reset", {})
    return World(emulator)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    install(FOLDER)
    with Driver(FOLDER / "client.mjs", tmp_path_factory.mktemp("home")) as driver:
        yield driver


@pytest.fixture
def tenant(world: World) -> Iterator[Tenant]:
    tenant = Tenant(world.emulator)
    yield tenant
    tenant.end()


@pytest.fixture
def device(tenant: Tenant) -> Device:
    device = Device(tenant)
    device.register(EVERY)
    return device


class Witness:
    """One of the clients, listening."""

    def __init__(self, driver: Driver, kind: str, device: Device, *channels: str) -> None:
        self._driver = driver
        self.kind = kind
        tenant = device.tenant
        if kind == "c8y":
            login, password = tenant.session.auth  # type: ignore[misc]
            user = {"baseUrl": tenant.base, "tenant": tenant.id, "user": login.split("/")[1], "password": password}
            driver("c8y", kind, user, REALTIME, channels)
        else:
            driver("cometd", kind, tenant.base + REALTIME, device.basic, channels, kind != "cometd")
        wait_for(lambda: len(self.of("connect")) > 0)
        wait_for(lambda: self.listens(device, channels))

    def listens(self, device: Device, channels: tuple[str, ...]) -> bool:
        """The platform holds a connect of a session with all channels."""
        items = device.tenant.emulator.control("/cumulocity/sessions")["items"]
        mine = [item for item in items if item["id"] == self.client_id]
        return bool(mine) and mine[0]["held"] and set(mine[0]["channels"]) == set(channels)

    @property
    def client_id(self) -> str:
        """Of the last handshake that succeeded."""
        return str([message for message in self.of("handshake") if message["successful"]][-1]["clientId"])

    def of(self, kind: str) -> list[Any]:
        heard = self._driver("heard", self.kind)
        return [message for what, message in heard if what == kind]

    def rows(self) -> list[list[str]]:
        """Its messages as the template of the SmartREST session writes them."""
        found = []
        for message in self.of("message"):
            data = message["data"]["data"]
            found.append(["100", message["data"]["realtimeAction"], data["id"], data.get("lastUpdated", "")])
        return found

    def end(self) -> None:
        self._driver("disconnect", self.kind)


@pytest.fixture(params=CLIENTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def happenings(tenant: Tenant) -> int:
    """Something of every kind and action; how many changes that makes."""
    source = tenant.devices[0]
    alarm = tenant.alarm(source)  # and the device's status with it
    tenant.put(f"/alarm/alarms/{alarm['id']}", {"status": "CLEARED"})  # here too
    event = tenant.event(source)
    tenant.put(f"/event/events/{event['id']}", {"text": "shut"})
    tenant.delete(f"/event/events/{event['id']}")
    tenant.measurement(source)
    tenant.operation(source)
    tenant.post("/inventory/managedObjects", {"name": "new"})
    return 10


def test_both_clients_hear_what_a_smartrest_session_hears(world: World, driver: Driver, device: Device) -> None:
    channels = tuple(f"/{kind}/*" for kind in KINDS)
    device.begin(*channels)
    witnesses = [Witness(driver, kind, device, *channels) for kind in CLIENTS]
    count = happenings(device.tenant)
    expected = device.connect().rows()
    assert len(expected) == count
    for witness in witnesses:
        wait_for(lambda witness=witness: len(witness.of("message")) == count)
        assert witness.rows() == expected
        witness.end()
    wait_for(lambda: len(world.emulator.control("/cumulocity/sessions")["items"]) == 1)
    states = [(item["platform"], item["state"]) for item in world.emulator.items()]
    assert states.count(("smartrest", "acknowledged")) == count
    assert states.count(("bayeux", "acknowledged")) >= 2 * count  # the last batch of the third is confirmed or not


def test_they_are_told_how_to_connect(world: World, driver: Driver, device: Device, kind: str) -> None:
    witness = Witness(driver, kind, device, "/alarms/*")
    advised = {"reconnect": "retry", "interval": 0, "timeout": 5_400_000}
    assert witness.of("connect")[0]["advice"] == advised
    world.emulator.control("/cumulocity/sessions/advise", {"session": witness.client_id, "interval": 7})
    wait_for(lambda: len(witness.of("connect")) >= 2)
    assert witness.of("connect")[1]["advice"] == {"reconnect": "retry", "interval": 7}
    device.tenant.alarm(device.tenant.devices[0])
    wait_for(lambda: len(witness.of("message")) == 1)
    witness.end()


def test_a_held_connect_survives_spaces_and_its_end(world: World, driver: Driver, device: Device, kind: str) -> None:
    witness = Witness(driver, kind, device, "/alarms/*")
    world.advance(1300)
    world.advance(5400)
    wait_for(lambda: len(witness.of("connect")) >= 2)
    assert witness.of("connect")[1]["successful"]
    device.tenant.alarm(device.tenant.devices[0])
    wait_for(lambda: len(witness.of("message")) == 1)
    witness.end()


@pytest.mark.parametrize("how", ["cut", "empty"])
def test_after_a_restart_they_shake_hands_and_listen_again(
    world: World, driver: Driver, device: Device, kind: str, how: str
) -> None:
    world.turn(sr_restart=how)
    witness = Witness(driver, kind, device, "/alarms/*")
    before = witness.client_id
    world.emulator.control("/cumulocity/sessions/restart", {})
    wait_for(lambda: witness.client_id != before and witness.listens(device, ("/alarms/*",)))
    device.tenant.alarm(device.tenant.devices[0])
    wait_for(lambda: len(witness.of("message")) == 1)
    witness.end()


def test_an_answer_lost_on_the_way_comes_again_to_who_acknowledges(
    world: World, driver: Driver, device: Device
) -> None:
    witness = Witness(driver, CLIENTS[1], device, "/alarms/*")
    world.fault("sr-lost")
    made = device.tenant.alarm(device.tenant.devices[0])
    wait_for(lambda: any(not message["successful"] for message in witness.of("connect")))
    world.fault("none")
    wait_for(lambda: len(witness.of("message")) >= 1)
    assert [row[2] for row in witness.rows()] == [made["id"]]
    witness.end()


# the vendor's retired SmartREST clients

CPP = "POST /devicecontrol/notifications HTTP/1.1\r\nHost: {host}\r\nAuthorization: {basic}\r\nX-Id: {x_id}\r\n"
JME = (
    "POST /notification/operations HTTP/1.1\r\nHost: {host}\r\nAuthorization: {basic}\r\nX-Id: {x_id}\r\n"
    "Content-Type: text/plain\r\n"
)
RECORDED = {  # head, and the last value of each connect: what was last received in row 88
    "C++": (CPP, ["83,{id}", "83,{id}", "83,{id},1", "83,{id},2"]),
    "Java ME": (JME, ["83,{id},-1", "83,{id},-1", "83,{id},1", "83,{id},2"]),
}
RESTART = "11,502,,$.c8y_Restart,$.id,$.deviceId"


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("client", RECORDED)
def test_the_recorded_requests_of_the_vendors_csv_clients_are_answered(
    world: World, tenant: Tenant, client: str, numbered: bool
) -> None:
    """What they need of each answer, by their sources: one value for the client id, nothing for 81, the policy behind
    a line number or not, ids of rows where they look for them."""
    world.turn(sr_line_numbers=numbered, sr_ack_row_always=False)  # as it was when they were recorded
    agent, line = tenant.devices[0], ["1"] if numbered else []
    wire = Wire(tenant, RECORDED[client][0])
    wire.device.register(RESTART, x_id="tplA")
    wire.device.register("11,700,,$.c8y_Never,$.id", x_id="tplB")
    (id,) = rows(wire.ask("80,true"))[0]
    assert wire.ask(f"81,{id},/{agent},tplB") == ""
    first, second, third, fourth = (row.format(id=id) for row in RECORDED[client][1])
    assert rows(wire.ask(first)) == [["86", *line, "5400000", "0", "retry"]]
    made = tenant.operation(agent)
    delivered = [["87", "1", "tplA"], ["502", *line, made["id"], agent]]
    assert rows(wire.ask(second)) == [*delivered, ["88", "1"]]
    other = tenant.operation(agent)
    assert rows(wire.ask(third)) == [["87", "1", "tplA"], ["502", *line, other["id"], agent], ["88", "2"]]
    world.emulator.control("/cumulocity/sessions/restart", {})
    assert rows(wire.ask(fourth)) == [["86", *line, "", "0", "handshake"]]
    (again,) = rows(wire.ask("80,true"))[0]
    assert again != id and wire.ask(f"81,{again},/{agent},tplB") == ""
    wire.close()


class Wire:
    """A connection that sends exactly the bytes that were recorded, but for host, credentials and client id."""

    def __init__(self, tenant: Tenant, head: str) -> None:
        self.device = Device(tenant, prefix="")
        host = tenant.emulator.url.removeprefix("http://")
        self._head = head.format(host=host, basic=self.device.basic, x_id="tplA")
        name, port = host.split(":")
        self._socket = socket.create_connection((name, int(port)), timeout=DEADLINE_S)
        self._file = self._socket.makefile("rb")

    def ask(self, body: str) -> str:
        self._socket.sendall(f"{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert self._file.readline().startswith(b"HTTP/1.1 200")
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        return self._file.read(length).decode()

    def close(self) -> None:
        self._file.close()
        self._socket.close()
