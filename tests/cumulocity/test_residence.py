"""What a worker does for its tenants over time: rules made, hook told, departed ones erased."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from subscriber.cumulocity.directory import LIST_SECONDS, Directory
from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.cumulocity.notifications import Notifications
from subscriber.cumulocity.registrar import Registrar
from subscriber.cumulocity.residence import FAILED_AGAIN_SECONDS, RECONCILE_SECONDS, Residence
from subscriber.model import Tenant
from subscriber.platforms import cumulocity_api as api
from subscriber.registration.patience import Patience
from subscriber.store import Store
from subscriber.transport import Transport
from tests.cumulocity.conftest import World, settings_of
from tests.emulator.running import wait_for
from tests.store.making import START, Clock

NAMES = ("t125", "t126", "t127", "t128")  # so that one who leaves is less than a fifth


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def told() -> list[tuple[str, bool]]:
    return []


@pytest.fixture
def residence(world: World, store: Store, clock: Clock, time: Time, told: list[tuple[str, bool]]) -> Residence:
    settings, stop = settings_of(world.environ()), threading.Event()
    transport = Transport(settings.base_url)

    def listed() -> tuple[api.ServiceUser, ...]:
        request = api.tenants_request()
        headers = {**request.headers, "Authorization": settings.bootstrap.authorization}
        answer = transport.send(request.method, request.path, headers)
        return api.read_tenants(answer.status, answer.body)

    directory = Directory(listed, monotonic=time)
    gateway = ServiceGateway(directory, Transport(settings.base_url))
    notifications = Notifications(gateway, Patience(stop.wait, lambda: 0.0), replacing=False)
    registrar = Registrar(settings, directory, notifications, store.registry, stop=stop, clock=clock)

    def hook(tenant: Tenant, joined: bool) -> None:
        told.append((tenant.name, joined))

    return Residence(registrar, store, hook, stop, timedelta(0), jitter=lambda: 0.0, monotonic=time)


def later(time: Time) -> None:
    """The list is old, nothing else is due."""
    time.now += LIST_SECONDS


def test_a_tenant_that_comes_is_served_at_the_next_look(residence: Residence, world: World, time: Time) -> None:
    assert residence.round()
    world.provision("t125")
    later(time)
    assert residence.round()
    assert len(world.rules("t125")) == 1


def test_a_look_that_finds_nothing_new_asks_no_tenant(residence: Residence, world: World, time: Time) -> None:
    residence.round()
    world.ask("DELETE", f"/notification2/subscriptions/{world.rules()[0]['id']}")
    later(time)
    residence.round()
    assert world.rules() == []
    time.now += RECONCILE_SECONDS
    residence.round()
    assert len(world.rules()) == 1


def test_a_refused_tenant_is_asked_again_after_some_minutes(residence: Residence, world: World, time: Time) -> None:
    world.roles("t124")
    assert not residence.round()
    world.roles("t124", api.ROLE)
    later(time)
    assert residence.round() and world.rules("t124") == []
    time.now += FAILED_AGAIN_SECONDS
    assert residence.round() and len(world.rules("t124")) == 1


def test_who_comes_and_goes_is_told_and_forgotten(
    residence: Residence, world: World, time: Time, store: Store, clock: Clock, told: list[tuple[str, bool]]
) -> None:
    world.provision(*NAMES)
    with residence.running():
        wait_for(lambda: len(told) == 6)
        world.deprovision("t128")
        for _ in range(2):
            later(time)
            residence.round()
        wait_for(lambda: ("t128", False) in told)
    clock.advance(hours=1)
    later(time)
    residence.round()
    assert {row.tenant.name for row in store.registry.tenants() if row.state == "gone"} == {"t128"}


def test_a_hook_of_one_platform_is_not_told_of_another_s_tenants(
    residence: Residence, store: Store, told: list[tuple[str, bool]]
) -> None:
    store.registry.hear(Tenant("mindsphere", "custaa"), START, True)
    with residence.running():
        wait_for(lambda: len(told) == 2)
    assert {name for name, _ in told} == {"t123", "t124"}
    assert [one.tenant.name for one in store.registry.passages("mindsphere", 9)] == ["custaa"]
