"""Stopping and resuming the handling."""

from __future__ import annotations

import pytest

from tests.web.console.world import ACME, OTHER, World


def paused(world: World) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in world.store.registry.pauses()]


@pytest.mark.parametrize(
    ("kind", "name"), [("tenant", "mindsphere/custaa"), ("platform", "pelion"), ("topic", "a.b")]
)
def test_pausing_and_resuming_say_what_changed_and_are_audited(furnished: World, kind: str, name: str) -> None:
    furnished.store.registry.resume("topic", "mdsp.core.timeseries.v1.pubsub.data.ingest")
    assert "Handling is paused: " in furnished.post("pauses/pause", kind=kind, name=name).text
    assert paused(furnished) == [(kind, name)]
    assert "was paused before" in furnished.post("pauses/pause", kind=kind, name=name).text
    assert name in furnished.get("pauses").text
    assert "Handling goes on" in furnished.post("pauses/resume", kind=kind, name=name).text
    assert "it was not paused" in furnished.post("pauses/resume", kind=kind, name=name).text
    assert [action for _, action, _ in furnished.actions()[:4]] == ["resume", "resume", "pause", "pause"]


def test_a_bare_name_is_a_mindsphere_tenant(furnished: World) -> None:
    furnished.post("pauses/pause", kind="tenant", name="custaa")
    assert ("tenant", str(ACME)) in paused(furnished)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"kind": "tenant", "name": "nobody"}, 404),
        ({"kind": "platform", "name": "nothing"}, 400),
        ({"kind": "odd", "name": "x"}, 400),
        ({"kind": "topic"}, 400),
        ({"kind": "topic", "name": "x" * 256}, 400),
        ({"kind": "topic", "name": "a\0b"}, 400),
    ],
)
def test_what_does_not_exist_cannot_be_paused(world: World, fields: dict[str, str], status: int) -> None:
    assert world.post("pauses/pause", **fields).status_code == status
    assert paused(world) == [] and world.actions() == []


def test_a_tenants_people_pause_their_own_and_nothing_else(world: World) -> None:
    world.store.registry.put_tenant(OTHER, "active")
    assert world.post("pauses/pause", ACME.name, kind="tenant", name="custaa").status_code == 200
    assert world.post("pauses/pause", ACME.name, kind="tenant", name="custbb").status_code == 404
    assert world.post("pauses/pause", ACME.name, kind="topic", name="t").status_code == 403
    assert world.post("pauses/resume", ACME.name, kind="platform", name="pelion").status_code == 403
    assert paused(world) == [("tenant", str(ACME))]
    world.store.registry.pause("topic", "t")
    text = world.get("pauses", tenant=ACME.name).text
    assert "by the host&#39;s operators" in text or "by the host's operators" in text
    assert "<option>platform" not in text


def test_nothing_paused_is_said_in_words(world: World) -> None:
    assert "Nothing is paused." in world.get("pauses").text
