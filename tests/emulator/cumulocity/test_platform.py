"""All of it together: credentials, reset."""

from __future__ import annotations

from collections.abc import Callable

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant


def test_credentials_are_the_contracts(world: World) -> None:
    found = world.emulator.control("/credentials")["cumulocity"]
    assert list(found) == ["base_url", "tenant", "user", "password", "devices", "bootstrap", "realtime"]
    assert found["base_url"] == f"{world.emulator.url}/c8y" and found["tenant"] == "t123"
    assert set(found["bootstrap"]) == {"tenant", "user", "password"} and len(found["devices"]) == 5
    other = world.emulator.control("/credentials?tenant=cumulocity/t124")["cumulocity"]
    assert other["tenant"] == "t124" and other["devices"] != found["devices"]
    answer = world.client.session.get(f"{world.emulator.url}/_control/credentials?tenant=cumulocity/t999")
    assert answer.status_code == 400


def test_a_reset_closes_sockets_and_restores_the_seed_world(world: World, tenant: Tenant) -> None:
    before = world.emulator.control("/credentials")
    tenant.rule("A", "alarms")
    reader = tenant.reader("A")
    tenant.alarm(tenant.devices[0])
    (frame,) = reader.frames(1, ack=False)
    world.emulator.control("/reset", {})
    assert reader.close_code() == 1012
    assert world.emulator.control("/credentials") == before
    assert tenant.get("/notification2/subscriptions")["subscriptions"] == tenant.get("/alarm/alarms")["alarms"] == []
    assert world.emulator.control("/cumulocity/topics")["items"] == []
    assert not any(world.emulator.ledger().values())
    assert "c8y_ActiveAlarmsStatus" not in tenant.get(f"/inventory/managedObjects/{tenant.devices[0]}")


def test_a_tenant_without_the_application_keeps_what_it_made(world: World, user: Callable[..., Tenant]) -> None:
    """N2-7: only the service user is gone."""
    service = user("t124", name="service_notification-hub")
    service.rule("A", "alarms")
    reader = service.reader("A")
    world.emulator.control("/deprovision", {"tenants": ["cumulocity/t124"]})
    assert service.ask("GET", "/notification2/subscriptions").status_code == 401
    admin = user("t124")
    admin.alarm(admin.devices[0])
    assert len(reader.frames(1)) == 1
