"""Calls in a tenant's name, against the emulated platform."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from subscriber.cumulocity import open_directory, open_gateway
from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.errors import HandlerError, PlatformRefused
from subscriber.model import Tenant
from subscriber.platform_client import Clients
from subscriber.platforms.cumulocity_api import probe_request
from subscriber.store import Store, TenantState
from tests.cumulocity.conftest import World, settings_of


@pytest.fixture
def gateway(world: World) -> Iterator[ServiceGateway]:
    settings, stop = settings_of(world.environ()), threading.Event()
    directory = open_directory(settings, stop=stop)
    gateway = open_gateway(settings, directory, stop=stop)
    yield gateway
    gateway.close()
    directory.close()


def test_each_tenant_is_spoken_for_by_its_own_user(gateway: ServiceGateway, world: World) -> None:
    for tenant in ("t123", "t124"):
        assert gateway.state(tenant, "/tenant/currentTenant", {})["name"] == tenant


def test_a_rotated_password_is_looked_up_anew_and_the_call_made_again(gateway: ServiceGateway, world: World) -> None:
    assert gateway.call("t123", probe_request()).status == 200
    world.rotate()
    assert gateway.call("t123", probe_request()).status == 200


def test_a_password_that_stays_refused_is_the_caller_s_to_read(gateway: ServiceGateway, world: World) -> None:
    gateway.call("t124", probe_request())
    world.deprovision("t124")
    assert gateway.call("t124", probe_request()).status == 401


def test_a_handler_reads_the_state_of_its_own_tenant(gateway: ServiceGateway, world: World, store: Store) -> None:
    device = world.devices("t124")[0]
    client = Clients({"cumulocity": gateway}, store.registry)(Tenant("cumulocity", "t124"))
    assert client.get(f"/inventory/managedObjects/{device}", {"withParents": "false"})["id"] == device
    with pytest.raises(PlatformRefused) as caught:
        client.get("/inventory/managedObjects/999999")
    assert (caught.value.upstream_status, caught.value.reason) == (404, "state_missing")
    with pytest.raises(ValueError, match="starts with /"):
        client.get("//evil.example/x")
    store.registry.put_tenant(Tenant("cumulocity", "t124"), TenantState.LEAVING)
    with pytest.raises(HandlerError, match="no longer has the application"):
        client.get(f"/inventory/managedObjects/{device}")
