"""Alarms, events, measurements, operations: what is made of them and who hears it."""

from __future__ import annotations

import pytest

from emulator.clock import Clock
from emulator.cumulocity.changes import Action, Change, Feed
from emulator.cumulocity.documents import Document, Documents
from emulator.cumulocity.errors import Refused
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.records import ALARM, EVENT, MEASUREMENT, OPERATION, Kind, Records
from emulator.journal import Journal


@pytest.fixture
def records(journal: Journal, documents: Documents, inventory: Inventory, feed: Feed, still: Clock) -> Records:
    return Records(journal, documents, inventory, feed, still)


@pytest.fixture
def device(inventory: Inventory, changes: list[Change]) -> str:
    id = str(inventory.create("t1", "ann", {"name": "Freezer"})["id"])
    changes.clear()
    return id


def body(kind: Kind, device: str) -> Document:
    if kind is OPERATION:
        return {"deviceId": device, "c8y_Restart": {}}
    base: Document = {"source": {"id": device}, "type": "T", "time": "2026-01-01T00:00:00.000Z", "text": "x"}
    return {**base, "severity": "MAJOR"} if kind is ALARM else base


def about(change: Change) -> tuple[str, str]:
    return change.api, change.action


def test_a_repeated_alarm_is_the_first_one_counted_up(
    records: Records, device: str, inventory: Inventory, changes: list[Change]
) -> None:
    """N2-5.6: and the device's alarm status follows each time."""
    first = records.create("t1", ALARM, body(ALARM, device))
    second = records.create("t1", ALARM, body(ALARM, device))
    assert (first["count"], second["count"], first["id"] == second["id"]) == (1, 2, True)
    assert list(map(about, changes)) == [
        ("alarms", "CREATE"),
        ("managedobjects", "UPDATE"),
        ("alarms", "UPDATE"),
        ("managedobjects", "UPDATE"),
    ]
    shown = inventory.get("t1", device)["c8y_ActiveAlarmsStatus"]
    assert shown == {"critical": 0, "major": 1, "minor": 0, "warning": 0}
    records.update("t1", ALARM, str(first["id"]), {"status": "CLEARED"})
    third = records.create("t1", ALARM, body(ALARM, device))
    assert third["id"] != first["id"]


@pytest.mark.parametrize(
    ("kind", "updates", "deletes"),
    [(ALARM, True, False), (EVENT, True, True), (MEASUREMENT, False, True), (OPERATION, True, False)],
)
def test_which_actions_exist(
    records: Records, device: str, changes: list[Change], kind: Kind, updates: bool, deletes: bool
) -> None:
    """N2-5.6"""
    id = str(records.create("t1", kind, body(kind, device))["id"])
    if updates:
        records.update("t1", kind, id, {"acme_Note": 1})
    else:
        with pytest.raises(Refused) as caught:
            records.update("t1", kind, id, {})
        assert caught.value.status == 405
    if deletes:
        records.delete("t1", kind, id)
        assert changes[-1].document == {"id": id} and changes[-1].source == device
    else:
        with pytest.raises(Refused) as caught:
            records.delete("t1", kind, id)
        assert caught.value.status == 405
    expected = ["CREATE"] + ["UPDATE"] * updates + ["DELETE"] * deletes
    assert [change.action for change in changes if change.api == kind.api] == expected


def test_the_source_is_the_device_and_an_update_cannot_move_it(
    records: Records, device: str, changes: list[Change]
) -> None:
    """N2-5.5"""
    event = records.create("t1", EVENT, body(EVENT, device))
    assert event["source"] == {"id": device, "name": "Freezer"}
    moved = records.update("t1", EVENT, str(event["id"]), {"source": {"id": "1"}, "text": "y"})
    assert moved["source"] == event["source"] and changes[-1].source == device
    operation = records.create("t1", OPERATION, body(OPERATION, device))
    assert (operation["status"], changes[-1].source) == ("PENDING", device)


@pytest.mark.parametrize(
    "change",
    [
        {"type": None},
        {"source": {"id": "1"}},
        {"source": None},
        {"severity": "LOUD"},
        {"status": "GONE"},
    ],
)
def test_a_wrong_alarm_is_unprocessable(records: Records, device: str, change: Document) -> None:
    with pytest.raises(Refused) as caught:
        records.create("t1", ALARM, {**body(ALARM, device), **change})
    assert caught.value.status == 422


def test_what_is_not_told_is_stored_all_the_same(records: Records, device: str, changes: list[Change]) -> None:
    """N2-5.16"""
    made = records.create("t1", MEASUREMENT, body(MEASUREMENT, device), told=False)
    assert records.get("t1", MEASUREMENT, str(made["id"])) == made and changes == []


def test_an_update_says_when(records: Records, device: str, changes: list[Change]) -> None:
    event = records.create("t1", EVENT, body(EVENT, device))
    assert records.update("t1", EVENT, str(event["id"]), {"text": "y"})["lastUpdated"]
    assert changes[-1].action is Action.UPDATE
