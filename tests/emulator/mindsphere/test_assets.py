"""Asset Management: what a hint points to, for its own tenant only."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import World

BASES = ("/api/assetmanagement/v3/assets", "/gateway/api/assetmanagement/v3/assets")


def read(world: World, id: str, tenant: str = "custaa", **request: Any) -> Any:
    request.setdefault("headers", world.client.bearer(tenant))
    return world.client.session.get(f"{world.emulator.url}{BASES[0]}/{id}", **request)


def hint(world: World, tenant: str = "custaa") -> str:
    """The id of the asset that a delivered message speaks of."""
    topic = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
    world.client.subscribe(topic, tenant)
    world.publish(tenant=tenant, topic="asset")
    world.delivered()
    return str(world.app.got[-1].json["asset"]["id"])


@pytest.mark.parametrize("base", BASES)
def test_the_asset_of_a_message_can_be_read(world: World, base: str) -> None:
    id = hint(world)
    answer = world.client.session.get(f"{world.emulator.url}{base}/{id}", headers=world.client.bearer("custaa"))
    assert (answer.status_code, answer.json()["assetId"], answer.json()["tenantId"]) == (200, id, "custaa")
    assert answer.json()["name"].startswith("Asset ")


def test_another_tenants_asset_does_not_exist(world: World) -> None:
    id = hint(world, "custaa")
    answer = read(world, id, "custbb")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "mdsp.core.generic.noMatch")


def test_it_needs_an_applications_token_for_a_tenant_that_has_it(world: World) -> None:
    id = hint(world)
    assert read(world, id, headers={}).status_code == 401
    stranger = world.emulator.control("/tokens", {"tenant": "custaa", "scopes": ["alarmapi.read"]})
    assert read(world, id, headers={"Authorization": f"Bearer {stranger['access_token']}"}).status_code == 403
    token = world.client.bearer("custaa")
    world.emulator.control("/deprovision", {"tenants": ["custaa"]})
    assert read(world, id, headers=token).status_code == 403


def test_it_fails_with_the_platforms_other_apis(world: World) -> None:
    id = hint(world)
    token = world.client.bearer("custaa")
    world.fault("api-429")
    answer = read(world, id, headers=token)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
