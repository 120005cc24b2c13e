"""From changes to sessions."""

from __future__ import annotations

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import OPERATIONS, Device
from tests.emulator.cumulocity.running import Tenant


def test_each_kind_and_action_is_told(device: Device, tenant: Tenant) -> None:
    device.x_id = "kinds"
    device.register("11,100,,$.data.id,$.realtimeAction,$.data.id,$.data.text")
    source = tenant.devices[0]
    kinds = ("alarms", "events", "measurements", "operations", "managedobjects")
    device.begin(*(f"/{kind}/{source}" for kind in kinds))
    event = tenant.event(source)
    tenant.put(f"/event/events/{event['id']}", {"text": "shut"})
    tenant.delete(f"/event/events/{event['id']}")
    measurement = tenant.measurement(source)
    operation = tenant.operation(source)
    tenant.put(f"/inventory/managedObjects/{source}", {"acme_X": 1})
    tenant.event(tenant.devices[1])
    assert [row[1:] for row in device.connect().rows()] == [
        ["CREATE", event["id"], "opened"],
        ["UPDATE", event["id"], "shut"],
        ["DELETE", event["id"], ""],  # of what is gone only the id is told
        ["CREATE", measurement["id"], ""],
        ["CREATE", operation["id"], ""],
        ["UPDATE", source, ""],
    ]


def test_two_channels_that_fit_bring_one_copy(device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*", f"/alarms/{tenant.devices[0]}")
    tenant.alarm(tenant.devices[0])
    assert len(device.connect().rows()) == 1


def test_an_agent_hears_of_new_operations_for_itself_and_its_children(world: World, tenant: Tenant) -> None:
    agent, child = tenant.devices[:2]
    tenant.post(f"/inventory/managedObjects/{agent}/childDevices", {"managedObject": {"id": child}})
    device = Device(tenant, OPERATIONS)
    device.register("11,502,,$.c8y_Restart,$.id,$.deviceId")
    device.begin(f"/{agent}")
    made = tenant.operation(agent)
    tenant.put(f"/devicecontrol/operations/{made['id']}", {"status": "EXECUTING"})
    of_child = tenant.operation(child)
    assert device.connect().rows() == [["502", made["id"], agent], ["502", of_child["id"], child]]
    world.turn(sr_child_operations=False)
    tenant.operation(child)
    assert device.session()["waiting"] == 0


def test_templates_may_see_the_object_alone(world: World, device: Device, tenant: Tenant) -> None:
    world.turn(sr_template_root="inner")
    device.x_id = "inner"
    device.register("11,100,,$.severity,$.id")
    device.begin("/alarms/*")
    made = tenant.alarm(tenant.devices[0])
    assert device.connect().rows() == [["100", made["id"]]]


def test_tenants_do_not_hear_each_other(device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    tenant.emulator.control("/publish", {"tenant": "cumulocity/t124", "topic": "alarms"})
    assert device.session()["waiting"] == 0


def test_a_queue_that_is_full_ends_the_session(world: World, device: Device, tenant: Tenant) -> None:
    world.turn(sr_queue=3)
    device.begin("/alarms/*")
    world.publish(tenant="cumulocity/t123", topic="alarms", count=4)
    assert device.connect().rows() == [["86", "", "0", "handshake"]]
    assert [item["outcome"] for item in world.emulator.items()] == ["overflow"] * 4


@pytest.mark.parametrize("count", [1, 250])
def test_what_is_published_is_delivered_in_order(world: World, device: Device, count: int) -> None:
    device.begin("/alarms/*")
    world.publish(tenant="cumulocity/t123", topic="alarms", count=count)
    ids = [row[2] for row in device.connect().rows()]
    items = world.emulator.items()
    assert ids == [item["content"][2] for item in items] and len(ids) == count
    assert {item["state"] for item in items} == {"acknowledged"}
