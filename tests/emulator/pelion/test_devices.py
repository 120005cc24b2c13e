"""Devices: kept, changed, and what can be read of them."""

from __future__ import annotations

import base64
from dataclasses import replace

from emulator.journal import Journal
from emulator.pelion.devices import Devices, content
from tests.emulator.pelion.conftest import DEVICE, FOREIGN, PATH


def test_devices_survive_with_their_values(journal: Journal) -> None:
    devices = Devices(journal)
    device = devices.find(DEVICE)
    assert device is not None
    devices.set_value(replace(device, lifetime_s=60.0, updated_at=100.0), PATH, "MQ==")
    again = Devices(journal).find(DEVICE)
    assert again is not None and again.resources[PATH].value == "MQ==" and again.expires_at == 160.0
    assert Devices(journal).lapsing() == [(160.0, again)]


def test_an_account_sees_its_own_only(journal: Journal) -> None:
    devices = Devices(journal)
    assert devices.get(FOREIGN, "acme") is None and devices.get(FOREIGN, "borealis") is not None
    assert len(list(devices.of_account("acme"))) == 3


def test_content_is_a_value_or_all_below_an_object(journal: Journal) -> None:
    device = Devices(journal).find(DEVICE)
    assert device is not None
    assert content(device, PATH) == ("text/plain", "MjEuNQ==")
    found = content(device, "/3303")
    assert found is not None and b"21.5" in base64.b64decode(found[1])
    assert content(device, "/33") is content(device, "/9/9/9") is None


def test_a_value_may_make_a_resource(journal: Journal) -> None:
    devices = Devices(journal)
    device = devices.find(DEVICE)
    assert device is not None
    assert "/9/0/1" in devices.set_value(device, "/9/0/1", "").resources
