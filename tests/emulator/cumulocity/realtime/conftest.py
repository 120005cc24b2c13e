"""A device with its templates, on the shared emulator."""

from __future__ import annotations

import pytest

from tests.emulator.cumulocity.realtime.client import Device
from tests.emulator.cumulocity.running import Tenant


@pytest.fixture
def device(tenant: Tenant) -> Device:
    device = Device(tenant)
    device.register()
    return device
