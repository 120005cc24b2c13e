"""What a cockpit does: tenants come and go, and the host hears of it."""

from __future__ import annotations

from emulator.mindsphere.topics import TOPICS
from tests.emulator.conftest import World
from tests.emulator.running import Client

ASSET, PROVISIONING = TOPICS["asset"], TOPICS["provisioning"]


def test_the_host_is_told_of_every_tenant_that_comes_and_goes(world: World) -> None:
    """C15: in its own context only; topic and body are assumed."""
    world.client.subscribe(PROVISIONING, "acmeop", "custaa")
    world.emulator.control("/provision", {"tenants": ["custcc", "custaa"]})
    world.emulator.control("/deprovision", {"tenants": ["custcc"]})
    world.delivered()
    told = [got.json for got in sorted(world.app.got, key=lambda got: str(got.json["provisioning"]["timestamp"]))]
    assert [entry["header"] for entry in told] == [{"topic": PROVISIONING, "tenantContext": ["acmeop"]}] * 2
    about = [(entry["provisioning"]["action"], entry["provisioning"]["userTenant"]) for entry in told]
    assert about == [("PROVISIONED", "custcc"), ("DEPROVISIONED", "custcc")]


def test_a_quiet_provisioning_is_found_by_asking_only(world: World) -> None:
    """C13, C15"""
    world.client.subscribe(PROVISIONING)
    world.emulator.control("/provision", {"tenants": ["custcc"], "quiet": True})
    assert world.emulator.ledger()["published"] == 0
    assert {"id": "custcc"} in world.client.user_tenants().json()["userTenants"]


def test_a_tenant_that_goes_takes_its_subscriptions_along(world: World) -> None:
    """C15"""
    world.client.subscribe(ASSET, "custaa", "custbb")
    world.app.answer(503)
    world.publish(tenant="custaa", topic=ASSET)
    world.emulator.control("/deprovision", {"tenants": ["custaa"]})
    left = world.emulator.control("/subscriptions")["items"]
    assert [entry["tenant"] for entry in left] == ["custbb"]
    assert world.emulator.ledger()["dropped"] == 1
    world.emulator.control("/provision", {"tenants": ["custaa"]})
    assert world.client.subscription("GET", ASSET, "custaa").status_code == 404


def test_ten_thousand_tenants_are_provisioned_in_one_call(world: World) -> None:
    """C15: a large rehearsal; each news reaches the host."""
    world.client.subscribe(PROVISIONING)
    answer = world.emulator.control("/provision", {"tenants": [f"t{number:05}" for number in range(10_000)]})
    assert answer == {"provisioned": 10_000, "unchanged": 0}
    assert world.emulator.ledger()["published"] == 10_000
    assert world.client.user_tenants(size=500).json()["page"]["totalElements"] == 10_002


def test_operator_and_developer_have_credentials_of_their_own(world: World) -> None:
    """C2: handover changes the hosting tenant, so the address and the credentials."""
    operator = world.emulator.control("/credentials")["mindsphere"]
    developer = world.emulator.control("/credentials?tenant=acmedv")["mindsphere"]
    assert set(operator) == {
        *("gateway", "piam", "client_id", "client_secret"),
        *("app", "version", "host_tenant", "user_tenants"),
    }
    assert operator["client_secret"] != developer["client_secret"]
    assert (developer["host_tenant"], developer["user_tenants"]) == ("acmedv", [])
    client = Client(developer)
    client.subscribe(ASSET, "acmedv")
    world.publish(tenant="acmedv", topic=ASSET)
    assert world.delivered()["acknowledged"] == 1
    client.close()
