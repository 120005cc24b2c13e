"""HTTP Basic, tenants by login, roles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant

RULES = "/notification2/subscriptions"


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic bm9jb2xvbg==", "Bearer x", "Basic dDEyMy9hZG1pbjp4"]
)
def test_without_good_credentials_it_is_401(tenant: Tenant, header: str) -> None:
    """N2-2"""
    tenant.session.auth = None
    answer = tenant.ask("GET", RULES, headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()["error"]) == (401, "security/Unauthorized")


def test_the_role_is_asked_for_everywhere_but_on_the_socket(world: World, user: Callable[..., Tenant]) -> None:
    """N2-2"""
    service = user(name="service_notification-hub")
    token = service.token("A")
    service.rule("A", "alarms")
    world.emulator.control("/cumulocity/users", {"tenant": "t123", "roles": ["ROLE_ALARM_ADMIN"]})
    for method, path in (
        ("GET", RULES),
        ("POST", RULES),
        ("DELETE", f"{RULES}/1"),
        ("POST", "/notification2/token"),
        ("POST", f"/notification2/unsubscribe?token={token}"),
        ("GET", "/notification2"),
        ("GET", "/inventory/managedObjects"),
        ("POST", "/event/events"),
    ):
        answer = service.ask(method, path, {})
        assert (answer.status_code, answer.json()["error"]) == (403, "security/Forbidden"), path
    service.socket(token)
    service.alarm(service.devices[0])


def test_the_rest_api_may_fail(world: World, tenant: Tenant) -> None:
    world.fault("c8y-5xx")
    assert tenant.ask("GET", RULES).status_code == 500


def test_tenants_do_not_see_each_other(tenant: Tenant, user: Callable[..., Tenant]) -> None:
    """N2-7"""
    other = user("t124")
    rule = tenant.rule("A", "alarms")
    assert other.ask("GET", f"{RULES}/{rule['id']}").status_code == 404
    assert other.get(RULES)["subscriptions"] == []
    assert other.ask("GET", f"/inventory/managedObjects/{tenant.devices[0]}").status_code == 404
    mine, theirs = tenant.reader("A"), other.reader("A")
    other.rule("A", "alarms")
    tenant.alarm(tenant.devices[0])
    other.alarm(other.devices[0])
    assert mine.frames(1)[0].description.startswith("/t123/")
    assert theirs.frames(1)[0].description.startswith("/t124/")
    assert mine.silent() and theirs.silent()
    answer = other.ask("POST", f"/notification2/unsubscribe?token={tenant.token('A')}")
    assert answer.status_code == 403
