"""Publishing: as many messages as asked, each distinct; or facts, a window at a time."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from emulator.mindsphere.publisher import fallen_back, wire_body
from emulator.mindsphere.topics import TOPICS
from tests.emulator.conftest import World

ASSET, EVENTS, SERIES = TOPICS["asset"], TOPICS["eventnotification"], TOPICS["timeseries"]
ALL = [TOPICS[word] for word in ("aspecttype", "assettype", "asset", "eventnotification", "timeseries")]


def test_count_is_for_each_tenant_and_topic_and_every_body_is_distinct(world: World) -> None:
    """C9"""
    for topic in ALL:
        world.client.subscribe(topic, "acmeop", "custaa", "custbb")
    answer = world.publish(tenant=["custaa", "custbb"], topic=ALL, count=20)
    assert answer == {"messages": 200, "published": 200}
    world.delivered()
    assert len({got.body for got in world.app.got}) == 200
    assert len({item["content_sha256"] for item in world.emulator.items()}) == 200


def test_by_default_the_host_and_every_user_tenant_get_one(world: World) -> None:
    world.client.subscribe(ASSET, "acmeop", "custaa", "custbb")
    assert world.publish() == {"messages": 3, "published": 3}


def test_what_nobody_wants_is_counted_and_not_kept(world: World) -> None:
    """C9"""
    assert world.publish(tenant="custaa", topic=ASSET, count=5) == {"messages": 5, "published": 0}
    assert world.emulator.ledger()["published"] == 0
    world.client.subscribe(ASSET, "custaa")
    assert world.emulator.ledger()["published"] == 0  # a new subscription sees only what comes after it


@pytest.mark.parametrize(
    ("members", "body"),
    [
        ({"body": '{"exactly": "this" }'}, b'{"exactly": "this" }'),
        ({"body": {"header": {}, "x": [1]}}, b'{"header":{},"x":[1]}'),
        ({"body_base64": base64.b64encode(b"\x00\xff{").decode()}, b"\x00\xff{"),
    ],
)
def test_a_given_body_is_sent_to_the_byte_in_every_wire_form(
    world: World, members: dict[str, Any], body: bytes
) -> None:
    world.turn(wire_form="B")
    world.client.subscribe(ASSET, "custaa", "custbb")
    world.publish(tenants=["custaa", "custbb"], topic=ASSET, **members)
    world.delivered()
    assert [got.body for got in world.app.got] == [body, body]


def test_events_may_come_several_in_a_message(world: World) -> None:
    """C14"""
    world.client.subscribe(EVENTS)
    world.publish(tenant="acmeop", topic=EVENTS, items=1000)
    world.delivered()
    assert len(world.app.got[0].json["events"]) == 1000


def windows(world: World, topic: str, count: int) -> float:
    closes: float = world.emulator.control("/facts", {"tenant": "custaa", "topic": topic, "count": count})[
        "window_closes_at"
    ]
    return closes - float(world.emulator.control("/clock")["now"])


def test_events_of_a_window_come_together_when_it_closes(world: World) -> None:
    """C14: one-minute windows, at most 1000 events in a message."""
    world.client.subscribe(EVENTS, "custaa")
    left = windows(world, EVENTS, 2300)
    assert 0 < left <= 60
    world.advance(left - 0.01)
    assert world.emulator.ledger()["published"] == 0
    world.advance(0.02)
    world.delivered()
    assert sorted(len(got.json["events"]) for got in world.app.got) == [300, 1000, 1000]
    assert len({event["id"] for got in world.app.got for event in got.json["events"]}) == 2300


def test_windows_of_different_tenants_and_topics_do_not_mix(world: World) -> None:
    """C14"""
    for tenant in ("custaa", "custbb"):
        world.client.subscribe(EVENTS, tenant)
    world.emulator.control("/facts", {"tenant": ["custaa", "custbb"], "topic": EVENTS, "count": 3})
    world.advance(60)
    world.delivered()
    assert sorted(got.json["header"]["tenantContext"][0] for got in world.app.got) == ["custaa", "custbb"]


def test_time_series_come_once_per_asset_and_aspect_and_window(world: World) -> None:
    """C14"""
    world.turn(assets_per_tenant=3, publish_window_s=10)
    world.client.subscribe(SERIES, "custaa")
    assert windows(world, SERIES, 500) <= 10
    world.advance(10)
    world.delivered()
    (pairs,) = [
        [(entry["assetId"], entry["aspectName"]) for got in world.app.got for entry in got.json["timeseries"]]
    ]
    assert len(pairs) == len(set(pairs)) == 12


def test_windows_exist_only_where_the_platform_has_them(world: World) -> None:
    """C14"""
    answer = world.client.session.post(
        f"{world.emulator.url}/_control/facts", json={"tenant": "custaa", "topic": ASSET}
    )
    assert answer.status_code == 400


def test_a_place_further_back_is_behind_at_least_the_next() -> None:
    assert fallen_back(10, 50, 0.0) > 2 * 11
    assert fallen_back(10, 50, 0.999) < 2 * 62


def test_a_body_is_header_and_payload() -> None:
    assert wire_body("t", ("a", "b"), {"x": 1}) == b'{"header":{"topic":"t","tenantContext":["a","b"]},"x":1}'
