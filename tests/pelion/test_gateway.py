"""Calls with a channel's own key, and what handlers read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from subscriber.errors import PlatformRefused
from subscriber.pelion.gateway import Gateway
from subscriber.platforms.pelion_api import account_request, read_account
from subscriber.settings import Settings
from subscriber.transport import Transport
from tests.pelion.conftest import DEVICE, World


@pytest.fixture
def gateway(world: World) -> Iterator[Gateway]:
    settings = Settings.from_environ(world.environ(world.channel(), world.channel("mill"))).pelion
    assert settings is not None
    with closing(Gateway(settings.channels, lambda host: Transport(host, attempts=1))) as gateway:
        yield gateway


def test_each_channel_speaks_with_its_own_key(gateway: Gateway) -> None:
    accounts = {
        name: read_account(answer.status, answer.body).id
        for name in ("cellar", "mill")
        for answer in [gateway.call(name, account_request())]
    }
    assert accounts["cellar"] != accounts["mill"]


def test_a_channel_that_is_not_configured_has_no_key(gateway: Gateway) -> None:
    with pytest.raises(PlatformRefused) as refused:
        gateway.call("gates", account_request())
    assert refused.value.reason == "key_refused"


def test_handlers_read_the_account_s_devices(gateway: Gateway) -> None:
    assert gateway.state("cellar", f"/v3/devices/{DEVICE}", {})["id"] == DEVICE
    assert len(gateway.state("cellar", "/v3/devices", {"limit": 2})["data"]) == 2
    with pytest.raises(PlatformRefused) as refused:
        gateway.state("mill", f"/v3/devices/{DEVICE}", {})
    assert refused.value.reason == "state_missing"
