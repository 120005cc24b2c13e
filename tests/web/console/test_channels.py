"""Channels and gaps."""

from __future__ import annotations

from tests.store.making import channel
from tests.web.console.world import DEVICES, World


def test_what_is_not_connected_comes_first_with_its_cause(furnished: World) -> None:
    text = furnished.get("channels").text
    assert "1 of 2 connected" in text
    assert text.index("service-1") < text.index("service-0")
    assert "the server closed it" in text


def test_a_channel_whose_process_is_silent_is_said_to_be_so(world: World) -> None:
    world.store.registry.put_channels([channel(tenant=DEVICES)])
    assert "silent" not in world.get("channels").text
    world.clock.advance(minutes=6)
    assert ">silent<" in world.get("channels").text


def test_gaps_say_whose_and_from_when_to_when(furnished: World) -> None:
    text = furnished.get("channels").text
    for shown in ("every tenant of mindsphere", "2026-02-20 12:00:00 UTC", "2026-02-22 12:00:00 UTC", "away"):
        assert shown in text


def test_nothing_of_either_is_said_in_words(world: World) -> None:
    text = world.get("channels").text
    assert "No long-lived connection" in text and "None is recorded." in text


def test_only_those_of_a_tenant_are_shown_when_asked(furnished: World) -> None:
    assert "service-0" in furnished.get("channels?tenant=cumulocity/t123").text
    assert "service-0" not in furnished.get("channels?tenant=cumulocity/other").text
