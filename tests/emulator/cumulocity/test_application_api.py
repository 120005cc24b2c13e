"""Bootstrap credentials, service users, and who is asking."""

from __future__ import annotations

from collections.abc import Callable

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant

SUBSCRIPTIONS = "/application/currentApplication/subscriptions"


def test_bootstrap_credentials_list_the_service_users_of_all_subscribed_tenants(
    world: World, user: Callable[..., Tenant]
) -> None:
    """N2-7"""
    bootstrap = user(name="servicebootstrap_notification-hub")
    world.emulator.control("/provision", {"tenants": ["cumulocity/t125"]})
    world.emulator.control("/deprovision", {"tenants": ["cumulocity/t124"]})
    users = bootstrap.get(SUBSCRIPTIONS)["users"]
    assert [entry["tenant"] for entry in users] == ["t123", "t125"]
    bootstrap.session.auth = (f"t125/{users[1]['name']}", users[1]["password"])
    assert bootstrap.get("/user/currentUser")["userName"] == "service_notification-hub"
    assert bootstrap.get("/tenant/currentTenant")["name"] == "t125"


def test_nobody_else_may_ask(tenant: Tenant) -> None:
    """N2-7"""
    assert tenant.ask("GET", SUBSCRIPTIONS).status_code == 403
    assert tenant.ask("GET", "/application/currentApplication").status_code == 403


def test_the_owner_reads_the_bootstrap_user(world: World, tenant: Tenant, user: Callable[..., Tenant]) -> None:
    """N2-7"""
    path = "/application/applications/101/bootstrapUser"
    told = world.emulator.control("/credentials")["cumulocity"]["bootstrap"]
    found = tenant.get(path)
    assert {"tenant": found["tenant"], "user": found["name"], "password": found["password"]} == told
    assert user("t124").ask("GET", path).status_code == 404
    assert user(name="service_notification-hub").ask("GET", path).status_code == 403


def test_an_application_knows_itself(user: Callable[..., Tenant]) -> None:
    found = user(name="servicebootstrap_notification-hub").get("/application/currentApplication")
    assert found["name"] == "notification-hub" and "ROLE_NOTIFICATION_2_ADMIN" in found["requiredRoles"]


def test_a_rotated_password_works_and_the_old_one_no_longer(world: World, user: Callable[..., Tenant]) -> None:
    """N2-7"""
    service = user(name="service_notification-hub")
    world.emulator.control("/cumulocity/rotate-service-users", {"tenants": ["t123"]})
    assert service.ask("GET", "/user/currentUser").status_code == 401
    assert user(name="service_notification-hub").get("/user/currentUser")
