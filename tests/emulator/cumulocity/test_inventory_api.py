"""``/inventory/managedObjects`` over HTTP."""

from __future__ import annotations

import pytest

from emulator.cumulocity.errors import Refused
from emulator.cumulocity.inventory_api import expressed
from tests.emulator.cumulocity.running import Tenant

PATH = "/inventory/managedObjects"


def test_objects_are_made_read_changed_and_deleted(tenant: Tenant) -> None:
    made = tenant.post(PATH, {"name": "Freezer", "acme_Door": {"open": False}})
    assert made["self"] == f"{tenant.base}{PATH}/{made['id']}"
    assert tenant.get(f"{PATH}/{made['id']}")["childDevices"]["references"] == []
    assert tenant.put(f"{PATH}/{made['id']}", {"name": "Fridge"})["acme_Door"] == {"open": False}
    tenant.delete(f"{PATH}/{made['id']}")
    answer = tenant.ask("GET", f"{PATH}/{made['id']}")
    assert (answer.status_code, answer.json()["error"]) == (404, "inventory/Not Found")


def test_children_are_hung_below_listed_and_taken_away(tenant: Tenant) -> None:
    parent, child = tenant.devices[:2]
    tenant.post(f"{PATH}/{parent}/childDevices", {"managedObject": {"id": child}})
    made = tenant.post(f"{PATH}/{parent}/childAssets", {"name": "new"})["managedObject"]["id"]
    listed = tenant.get(f"{PATH}/{parent}/childDevices")["references"]
    assert [entry["managedObject"]["id"] for entry in listed] == [child]
    assert tenant.get(f"{PATH}/{parent}")["childAssets"]["references"][0]["managedObject"]["id"] == made
    tenant.delete(f"{PATH}/{parent}/childDevices/{child}")
    assert tenant.ask("DELETE", f"{PATH}/{parent}/childDevices/{child}").status_code == 404


def test_lists_are_filtered(tenant: Tenant) -> None:
    tenant.post(PATH, {"name": "it's", "type": "acme_Other", "acme_X": {}})
    for query in (
        {"type": "acme_Other"},
        {"fragmentType": "acme_X"},
        {"q": "$filter=(has(acme_X))"},
        {"q": "$filter=(type eq acme_Other)"},
        {"query": "$filter=(has(acme_X)) and (name eq 'it''s') $orderby=name"},
    ):
        assert [entry["name"] for entry in tenant.get(PATH, **query)["managedObjects"]] == ["it's"], query
    assert len(tenant.get(PATH, ids=",".join(tenant.devices[:2]))["managedObjects"]) == 2


@pytest.mark.parametrize("expression", ["bygroupid(1)", "name ne 'x'", "has(a) or has(b)", "'"])
def test_what_is_not_understood_is_refused_never_ignored(expression: str) -> None:
    with pytest.raises(Refused):
        list(expressed(expression))
