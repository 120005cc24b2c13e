"""What needs a person, in words, and nothing called good that nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from subscriber.store import Fence
from subscriber.web.console import health
from subscriber.web.console.health import ACT, GOOD, UNKNOWN
from tests.store.making import channel, notification
from tests.web.console.world import ACME, DEVICES, World


def lines(world: World, tenant: str = "acmeop") -> dict[str, tuple[str, str]]:
    """Name → state and text."""
    with world.app.test_request_context(headers={"Authorization": f"Bearer {world.token(tenant)}"}):
        found = health.needs(world.desk, world.desk.sight())
    return {line.name: (line.state, line.text) for line in found}


def test_an_idle_service_is_called_good_only_where_that_is_known(world: World) -> None:
    found = lines(world)
    good = {name for name, (state, _) in found.items() if state == GOOD}
    assert good == {"handling", "pauses", "subscriptions", "gaps", "credentials"}
    assert {name for name, (state, _) in found.items() if state == UNKNOWN} == {"mindsphere registration", "keys"}


def test_what_waits_too_long_wants_attention(world: World) -> None:
    world.store.inbox.add([notification()])
    world.clock.advance(minutes=5)
    assert lines(world)["handling"][0] == GOOD
    world.clock.advance(seconds=1)
    assert lines(world)["handling"] == (ACT, "the oldest waits 5 min 1 s past its time")


def test_everything_astray_wants_attention(furnished: World) -> None:
    found = lines(furnished)
    assert {name for name in ("pauses", "subscriptions", "channels", "gaps") if found[name][0] == ACT} == {
        "pauses",
        "subscriptions",
        "channels",
        "gaps",
    }
    assert "is a worker running?" in found["channels"][1]


def test_connected_channels_that_speak_are_good(world: World) -> None:
    world.store.registry.put_channels([channel(tenant=DEVICES)])
    assert lines(world)["channels"] == (GOOD, "1 of 1 connected")


def test_when_everything_was_last_in_place_is_told(world: World) -> None:
    registry = world.store.registry
    fence = Fence(name="registration", holder="a", number=cast(int, registry.acquire("registration", "a", 3600)))
    registry.close_reconciliation("mindsphere", fence)
    world.clock.advance(minutes=10)
    state, text = lines(world)["mindsphere registration"]
    assert (state, "10 min 0 s ago" in text) == (GOOD, True)
    world.clock.advance(hours=1)
    assert lines(world)["mindsphere registration"][0] == ACT


def test_tenants_that_a_list_lacks_want_a_person(world: World) -> None:
    registry = world.store.registry
    fence = Fence(name="registration", holder="a", number=cast(int, registry.acquire("registration", "a", 60)))
    registry.close_census("mindsphere", world.clock(), 7, fence)
    state, text = lines(world)["mindsphere tenants"]
    assert (state, "--confirm-shrink" in text) == (ACT, True)


def test_old_credentials_want_attention(world: World) -> None:
    world.store.registry.see_credentials("acmeop-alarmapi-v1.4.2")
    world.clock.advance(days=336)
    assert lines(world)["credentials"][0] == ACT


@pytest.mark.parametrize(("outcomes", "state"), [(["failed"], ACT), (["ok"], GOOD), (["ok", "failed"], GOOD)])
def test_keys_that_were_never_fetched_want_attention(world: World, outcomes: list[str], state: str) -> None:
    for outcome in outcomes:
        world.metrics.keys_fetched(outcome)
    assert lines(world)["keys"][0] == state


def test_refusals_are_told_by_reason(world: World) -> None:
    for _ in range(3):
        world.metrics.refused("mindsphere", "expired")
    assert "3 deliveries refused since this service started here: expired" in world.get("health").text


def test_a_certificate_is_looked_at_where_there_is_one(world: World, tmp_path: Path) -> None:
    object.__setattr__(world.settings, "tls_cert_file", str(tmp_path / "missing.pem"))
    assert lines(world)["certificate"][0] == ACT


def test_a_tenants_people_hear_of_their_own_only(furnished: World) -> None:
    found = lines(furnished, ACME.name)
    assert not {"credentials", "keys", "mindsphere registration"} & set(found)
    assert "1 failed" in found["subscriptions"][1]


def test_the_page_says_each_state_in_a_word(furnished: World) -> None:
    text = furnished.get("health").text
    assert "attention" in text and "in order" in text and "to know" in text
