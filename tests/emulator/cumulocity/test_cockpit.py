"""Control verbs of this platform."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant


def refused(world: World, path: str, members: dict[str, Any]) -> bool:
    answer = world.client.session.post(f"{world.emulator.url}/_control{path}", json=members)
    return answer.status_code == 400 and bool(answer.json()["error"]["detail"])


def test_publishing_does_what_devices_do(world: World, tenant: Tenant) -> None:
    """N2-9: counts are message x consumer, as in the ledger."""
    tenant.rule("A", "alarms", "measurements")
    readers = [tenant.reader("A", "one"), tenant.reader("A", "two")]
    answer = world.publish(tenant="cumulocity/t123", topic=["alarms", "measurements"], count=3)
    assert answer == {"messages": 6, "published": 12}
    for reader in readers:
        assert {frame.description.split("/")[2] for frame in reader.frames(6)} == {"alarms", "measurements"}
    assert world.delivered()["acknowledged"] == 12
    assert len(tenant.get("/alarm/alarms")["alarms"]) == 3


def test_a_body_is_posted_as_it_is(world: World, tenant: Tenant) -> None:
    tenant.rule("A", "events")
    reader = tenant.reader("A")
    body = {"source": {"id": tenant.devices[1]}, "type": "T", "time": "2026-01-01T00:00:00.000Z", "text": "x"}
    world.publish(tenant="cumulocity/t123", topic="events", body=body)
    assert reader.frames(1)[0].body["text"] == "x"


def test_a_full_backlog_shows_in_the_answer(world: World, tenant: Tenant) -> None:
    """N2-5.16"""
    tenant.rule("A", "measurements")
    tenant.reader("A").close()
    world.turn(n2_quota_bytes=1000)
    answer = world.publish(tenant="cumulocity/t123", topic="measurements", count=20)
    assert answer["published"] > 0 and answer["published"] + answer["refused"] == answer["messages"] == 20


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/publish", {"tenant": "cumulocity/t999"}),
        ("/publish", {"tenant": "cumulocity/t123", "topic": "asset"}),
        ("/publish", {"tenant": "cumulocity/t123", "count": 2_000_000}),
        ("/publish", {"tenant": "cumulocity/t123", "body": "text"}),
        ("/publish", {"tenant": "cumulocity/t123", "body_base64": "!"}),
        ("/publish", {"tenant": "cumulocity/t123", "body": {"type": "T"}}),
        ("/publish", {"tenant": "nowhere/t123"}),
        ("/provision", {"tenants": ["cumulocity/T"]}),
        ("/cumulocity/users", {"tenant": "t123", "name": "nobody"}),
        ("/cumulocity/rotate-service-users", {"tenants": ["t999"]}),
    ],
)
def test_what_cannot_be_followed_is_refused(world: World, path: str, members: dict[str, Any]) -> None:
    assert refused(world, path, members)


def test_tenants_come_and_go(world: World) -> None:
    """N2-7"""
    assert world.emulator.control("/provision", {"tenants": ["cumulocity/t125", "custcc"]})["provisioned"] == 2
    assert world.emulator.control("/cumulocity/tenants")["subscribed"] == ["t123", "t124", "t125"]
    assert world.emulator.control("/deprovision", {"tenants": ["cumulocity/t125"]})["deprovisioned"] == 1
    assert world.emulator.control("/cumulocity/tenants")["tenants"] == ["t123", "t124", "t125"]


def test_items_of_the_ledger_go_on_from_one_platform_to_the_next(world: World, tenant: Tenant) -> None:
    tenant.rule("A", "alarms")
    reader = tenant.reader("A")
    tenant.alarm(tenant.devices[0])
    reader.frames(1)
    world.delivered()
    (item,) = world.emulator.items()
    assert (item["platform"], item["tenant"], item["topic"], item["acknowledged"]) == (
        "cumulocity",
        "t123",
        "alarms",
        1,
    )
