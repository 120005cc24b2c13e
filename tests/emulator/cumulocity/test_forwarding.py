"""Which rules see which changes."""

from __future__ import annotations

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Socket, Tenant

INVENTORY = "/inventory/managedObjects"


def seen(reader: Socket, count: int) -> list[tuple[str, str]]:
    """(API, action) of the next frames, and nothing after them."""
    found = [(frame.description.split("/")[2], frame.action) for frame in reader.frames(count)]
    assert reader.silent()
    return found


def test_a_tenant_sees_objects_being_made_a_device_sees_itself_changed_and_deleted(tenant: Tenant) -> None:
    """N2-3.4, N2-5.6"""
    device = tenant.devices[0]
    tenant.rule("T", "managedobjects")
    tenant.rule("M", "managedobjects", source=device)
    wide, narrow = tenant.reader("T"), tenant.reader("M")
    tenant.put(f"{INVENTORY}/{device}", {"acme_A": 1})
    tenant.post(INVENTORY, {"name": "new"})
    tenant.delete(f"{INVENTORY}/{device}")
    assert seen(wide, 1) == [("managedobjects", "CREATE")]
    assert seen(narrow, 2) == [("managedobjects", "UPDATE"), ("managedobjects", "DELETE")]


def test_a_tenant_sees_alarms_events_operations_and_measurements_only_if_named(tenant: Tenant) -> None:
    """N2-3.4"""
    tenant.rule("S", "*")
    tenant.rule("N", "measurements")
    star, named = tenant.reader("S"), tenant.reader("N")
    device = tenant.devices[0]
    tenant.measurement(device)
    tenant.event(device)
    tenant.operation(device)
    tenant.alarm(device)
    assert seen(star, 3) == [("events", "CREATE"), ("operations", "CREATE"), ("alarms", "CREATE")]
    assert seen(named, 1) == [("measurements", "CREATE")]


def test_alarms_and_events_of_descendants_come_with_children(tenant: Tenant) -> None:
    """N2-3.4, N2-5.5: the child is named; the plain copy does not come with that word alone (assumed)."""
    top, middle, leaf = tenant.devices[:3]
    tenant.post(f"{INVENTORY}/{top}/childAssets", {"managedObject": {"id": middle}})
    tenant.post(f"{INVENTORY}/{middle}/childDevices", {"managedObject": {"id": leaf}})
    tenant.rule("A", "alarmsWithChildren", "eventsWithChildren", source=top)
    reader = tenant.reader("A")
    tenant.alarm(leaf)
    tenant.event(top)
    tenant.measurement(leaf)
    first, second = reader.frames(2)
    assert first.about == (f"/t123/alarmsWithChildren/{leaf}", "CREATE")
    assert second.about == (f"/t123/eventsWithChildren/{top}", "CREATE")
    assert reader.silent()


def test_a_star_brings_a_devices_own_alarm_twice_and_the_update_of_its_status(tenant: Tenant) -> None:
    """N2-3.4, N2-5.6"""
    tenant.rule("A", "*", source=tenant.devices[0])
    reader = tenant.reader("A")
    tenant.alarm(tenant.devices[0])
    assert seen(reader, 3) == [
        ("alarms", "CREATE"),
        ("alarmsWithChildren", "CREATE"),
        ("managedobjects", "UPDATE"),
    ]


def test_types_are_filtered_a_deletion_by_the_type_it_had(tenant: Tenant) -> None:
    """N2-3.5"""
    tenant.rule("X", subscriptionFilter={"apis": ["events", "operations"], "typeFilter": "'A' or 'B'"})
    reader = tenant.reader("X")
    device = tenant.devices[0]
    event = tenant.event(device, "A")
    tenant.event(device, "C")
    tenant.operation(device)
    tenant.delete(f"/event/events/{event['id']}")
    assert seen(reader, 2) == [("events", "CREATE"), ("events", "DELETE")]


def test_fragments_are_copied_and_other_changes_come_all_the_same(tenant: Tenant) -> None:
    """N2-3.6: A to B to A of a fragment is three notifications."""
    device = tenant.devices[0]
    tenant.rule("A", "managedobjects", source=device, fragmentsToCopy=["acme_Mode"])
    reader = tenant.reader("A")
    for mode in "ABA":
        tenant.put(f"{INVENTORY}/{device}", {"acme_Mode": mode, "acme_Other": 1})
    tenant.put(f"{INVENTORY}/{device}", {"acme_Other": 2})
    bodies = [frame.body for frame in reader.frames(4)]
    assert [body["acme_Mode"] for body in bodies] == list("ABAA")
    assert all("acme_Other" not in body and "name" in body for body in bodies)


def test_rules_of_both_contexts_feed_one_topic_in_one_order(tenant: Tenant) -> None:
    """N2-5.9: a message both match is there twice (assumed)."""
    device, other = tenant.devices[:2]
    tenant.rule("A", "alarms")
    tenant.rule("A", "alarms", "measurements", source=device)
    reader = tenant.reader("A")
    tenant.measurement(device)
    tenant.alarm(other)
    tenant.alarm(device)
    frames = reader.frames(4)
    assert [frame.description.split("/")[2] for frame in frames] == ["measurements", "alarms", "alarms", "alarms"]
    assert frames[2].text == frames[3].text and frames[2].ack != frames[3].ack


def test_a_deleted_managed_object_takes_its_rules_along(tenant: Tenant) -> None:
    """N2-3.10"""
    tenant.rule("A", source=tenant.devices[0])
    tenant.delete(f"{INVENTORY}/{tenant.devices[0]}")
    assert tenant.get("/notification2/subscriptions")["subscriptions"] == []


@pytest.mark.parametrize("api", ["measurements", "alarms"])
def test_a_full_backlog_fails_the_request_that_made_the_message_though_it_is_stored(
    world: World, tenant: Tenant, api: str
) -> None:
    """N2-5.16"""
    tenant.rule("A", api)
    tenant.rule("B", api)
    world.turn(n2_quota_bytes=50)
    tenant.reader("A").close()
    body = {"source": {"id": tenant.devices[0]}, "type": "T", "time": "2026-01-01T00:00:00.000Z"}
    path = {"measurements": "/measurement/measurements", "alarms": "/alarm/alarms"}[api]
    answer = tenant.ask("POST", path, {**body, "text": "x", "severity": "MAJOR"})
    assert answer.status_code == 500
    assert len(tenant.get(path)[api]) == 1
    assert tenant.backlog("A") == 0
    world.turn(n2_quota_bytes=10_000)
    assert tenant.ask("POST", path, {**body, "type": "U", "text": "x", "severity": "MAJOR"}).status_code == 201
    assert tenant.backlog("A") == 1
