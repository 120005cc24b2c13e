"""What each category looks like."""

from __future__ import annotations

import json
from random import Random

import pytest

from emulator.journal import Journal
from emulator.pelion import events
from emulator.pelion.devices import Device, Devices
from emulator.pelion.serialization import CATEGORIES
from tests.emulator.pelion.conftest import DEVICE


@pytest.fixture
def device(journal: Journal) -> Device:
    found = Devices(journal).find(DEVICE)
    assert found is not None
    return found


def test_a_registration_lists_the_resources(device: Device) -> None:
    members = json.loads(events.endpoint("registrations", device).core)
    assert (members["ep"], members["original-ep"], members["ept"], members["q"]) == (
        DEVICE,
        "cellar-07",
        "thermo",
        False,
    )
    assert {"path": "/3303/0/5700", "rt": "temperature", "obs": True} in members["resources"]


def test_a_result_is_good_or_names_its_error(device: Device) -> None:
    assert json.loads(events.answer(device, "i", 200, None).core) == {"id": "i", "status": 200}
    assert json.loads(events.failure(device, "i", 504, "TIMEOUT").core)["error"] == "TIMEOUT"


def test_every_category_can_be_composed_repeatably(device: Device) -> None:
    first, second = (
        [events.Composer(Random(7)).event(category, device) for category in CATEGORIES] for _ in range(2)
    )
    assert first == second and [event.category for event in first] == list(CATEGORIES)


def test_given_items_stay_as_they_are() -> None:
    event = events.verbatim("notifications", {"ep": "d1", "odd": 1})
    assert (event.ep, event.name, json.loads(event.core)) == ("d1", "d1", {"ep": "d1", "odd": 1})
    assert json.loads(events.verbatim("de-registrations", "d2").core) == {"ep": "d2"}
