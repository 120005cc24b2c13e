"""Managed objects, what changes in them, what hangs below."""

from __future__ import annotations

import pytest

from emulator.cumulocity.changes import Action, Change
from emulator.cumulocity.errors import Refused
from emulator.cumulocity.inventory import Inventory


def test_the_platform_sets_id_owner_and_times(inventory: Inventory, changes: list[Change]) -> None:
    made = inventory.create("t1", "ann", {"id": "mine", "name": "x", "creationTime": "never", "gone": None})
    assert made["id"] != "mine" and made["owner"] == "ann" and made["creationTime"] == made["lastUpdated"] != "never"
    assert "gone" not in made
    assert [(change.action, change.source) for change in changes] == [(Action.CREATE, made["id"])]


def test_an_update_replaces_members_and_null_removes_one(inventory: Inventory, changes: list[Change]) -> None:
    id = str(inventory.create("t1", "ann", {"a": 1, "b": 2, "type": "T"})["id"])
    changed = inventory.update("t1", id, {"a": 3, "b": None, "id": "x"})
    assert (changed["a"], changed["id"]) == (3, id) and "b" not in changed
    assert inventory.find("t1", id) == changed
    assert (changes[-1].action, changes[-1].type) == (Action.UPDATE, "T")


def test_a_deletion_takes_relations_along_and_leaves_children(inventory: Inventory, changes: list[Change]) -> None:
    parent, child = (str(inventory.create("t1", "ann", {"type": "T"})["id"]) for _ in range(2))
    inventory.adopt("t1", parent, "childAssets", child)
    inventory.delete("t1", parent)
    assert inventory.find("t1", child) and inventory.ancestors("t1", child) == []
    assert (changes[-1].action, changes[-1].document, changes[-1].type) == (Action.DELETE, {"id": parent}, "T")


def test_ancestors_are_found_through_every_relation_and_circles_end(inventory: Inventory) -> None:
    top, middle, leaf = (str(inventory.create("t1", "ann", {})["id"]) for _ in range(3))
    inventory.adopt("t1", top, "childAssets", middle)
    inventory.adopt("t1", middle, "childDevices", leaf)
    assert inventory.ancestors("t1", leaf) == [middle, top]
    inventory.adopt("t1", leaf, "childAdditions", top)
    assert set(inventory.ancestors("t1", leaf)) == {middle, top}
    assert inventory.ancestors("t2", leaf) == []


def test_what_is_not_there_is_not_found(inventory: Inventory) -> None:
    id = str(inventory.create("t1", "ann", {})["id"])
    for refused in (
        lambda: inventory.get("t2", id),
        lambda: inventory.update("t1", "1", {}),
        lambda: inventory.delete("t1", "1"),
        lambda: inventory.adopt("t1", id, "childAssets", "1"),
        lambda: inventory.adopt("t1", id, "childAssets", id),
        lambda: inventory.release("t1", id, "childAssets", "1"),
    ):
        with pytest.raises(Refused):
            refused()
