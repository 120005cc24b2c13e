"""The long poll, and what goes wrong with it."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import Device, Poll
from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import wait_for

BROKEN = (HTTPException, ConnectionError)


def broken(poll: Poll) -> str:
    """What arrived of an answer that broke."""
    with pytest.raises(BROKEN):
        poll.rows()
    return poll.text


def begun(device: Device, reliable: bool) -> Device:
    if not reliable:
        return device.begin("/alarms/*")
    device.client_id = device.ask("80,true")
    device.ask(f"81,{device.client_id},/alarms/*")
    device.connect("-1").rows()
    return device


def alarm(tenant: Tenant) -> str:
    return str(tenant.alarm(tenant.devices[0])["id"])


def items(world: World) -> list[Any]:
    return [(item["state"], item["attempts"], item["outcome"]) for item in world.emulator.items()]


def ids(poll: Poll) -> list[str]:
    return [row[2] for row in poll.rows() if row[0] == "100"]


def test_a_connect_ends_empty_with_its_timeout(world: World, device: Device) -> None:
    device.begin("/alarms/*")
    poll = device.held()
    world.advance(5401)
    assert poll.rows() == [] and poll.text.strip() == ""
    assert len(poll.text) == 8  # ten minutes each; the ninth is the end


def test_a_second_connect_ends_the_first_with_an_empty_body(device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    first = device.held()
    second = device.held()
    assert first.rows() == [] and first.text == ""
    made = alarm(tenant)
    assert ids(second) == [made]


def test_the_eleventh_held_connect_of_a_user_for_a_channel_ends_the_oldest(world: World, device: Device) -> None:
    world.turn(sr_max_conn=1)
    first = device.begin("/alarms/*").held()
    other = Device(device.tenant).begin("/alarms/*")
    assert not other.held().done.is_set() and first.rows() == []


@pytest.mark.parametrize("reliable", [False, True])
def test_what_the_platform_cannot_write_comes_again(
    world: World, device: Device, tenant: Tenant, reliable: bool
) -> None:
    begun(device, reliable)
    world.fault("sr-cut-before")
    poll = device.held("1") if reliable else device.held()
    made = alarm(tenant)
    assert broken(poll) == ""
    world.fault("none")
    assert ids(device.connect("1") if reliable else device.connect()) == [made]
    if not reliable:
        assert items(world) == [("acknowledged", 1, "written")]


@pytest.mark.parametrize("fault", ["sr-lost", "sr-cut"])
def test_without_acknowledgement_an_answer_lost_on_the_way_is_lost(
    world: World, device: Device, tenant: Tenant, fault: str
) -> None:
    begun(device, False)
    world.fault(fault)
    poll = device.held()
    alarm(tenant)
    assert bool(broken(poll)) is (fault == "sr-cut")
    assert device.session()["waiting"] == 0
    assert items(world) == [("dropped", 1, "lost")]


@pytest.mark.parametrize("fault", ["sr-lost", "sr-cut"])
def test_with_acknowledgement_it_comes_again(world: World, device: Device, tenant: Tenant, fault: str) -> None:
    begun(device, True)
    world.fault(fault)
    poll = device.held("1")
    made = alarm(tenant)
    broken(poll)
    world.fault("none")
    assert ids(device.connect("1")) == [made]
    assert items(world) == [("pending", 2, "")]
    device.held("3")
    assert items(world) == [("acknowledged", 2, "confirmed")]


def test_notifications_may_come_twice_in_an_answer(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    world.fault("sr-duplicate")
    poll = device.held()
    made = alarm(tenant)
    assert ids(poll) == [made, made]


def test_a_silent_connect_hears_nothing_and_loses_nothing(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    world.fault("sr-silent")
    poll = device.held()
    world.advance(1300)
    made = alarm(tenant)
    wait_for(lambda: device.session()["waiting"] == 1)
    assert poll.text == "" and not poll.done.is_set()
    world.fault("none")
    assert ids(device.connect()) == [made]
    assert poll.rows() == []


def test_a_slow_answer_is_whole(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    world.turn(slow_s=0.05)
    world.fault("sr-slow")
    poll = device.held()
    made = alarm(tenant)
    assert ids(poll) == [made]


def test_advice_that_was_changed_for_all_comes_with_the_next_answer(
    world: World, device: Device, tenant: Tenant
) -> None:
    device.begin("/alarms/*")
    world.turn(sr_timeout_ms=60_000, sr_interval_ms=100)
    assert device.connect().rows() == [["86", "60000", "100", "retry"]]
    poll = device.held()
    world.advance(61)
    assert poll.rows() == []
