"""Where callbacks go, and which addresses the platform would refuse."""

from __future__ import annotations

import pytest

from subscriber.errors import NoTunnel, PlatformRefused
from subscriber.pelion.addresses import Addresses, is_loopback
from subscriber.settings import PelionChannel


def channel(host: str = "https://api.us-east-1.mbedcloud.com") -> PelionChannel:
    return PelionChannel(name="cellar", api_key="k", host=host, mode="callback")


def address(own: str, host: str = "https://api.us-east-1.mbedcloud.com") -> str:
    return Addresses(lambda: own)(channel(host))


def test_it_is_the_service_s_own_with_the_channel_s_path() -> None:
    assert address("https://hooks.example.org/") == "https://hooks.example.org/notifications/pelion/cellar"


def test_an_emulator_on_this_machine_takes_an_unencrypted_one() -> None:
    url = "http://127.0.0.1:8080/notifications/pelion/cellar"
    assert address("http://127.0.0.1:8080", "http://localhost:8090/pelion") == url


@pytest.mark.parametrize(
    ("own", "host"),
    [
        ("", "https://api.example.org"),
        ("http://hooks.example.org", "https://api.example.org"),
        ("http://127.0.0.1:8080", "https://api.example.org"),
        ("http://hooks.example.org", "http://127.0.0.1:8090"),
    ],
)
def test_others_are_refused_with_the_advice_to_use_websocket(own: str, host: str) -> None:
    with pytest.raises(PlatformRefused) as refused:
        address(own, host)
    assert (refused.value.reason, "websocket" in refused.value.detail) == ("callback_address", True)


def test_a_tunnel_that_is_away_is_told() -> None:
    def none() -> str:
        raise NoTunnel("start ngrok", reason="agent_away")

    with pytest.raises(PlatformRefused, match="start ngrok"):
        Addresses(none)(channel())


@pytest.mark.parametrize(
    ("url", "loopback"),
    [("http://127.0.0.1:1", True), ("http://[::1]:1/x", True), ("http://localhost", True), ("https://a.b", False)],
)
def test_this_machine_is_known_by_name_and_number(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback
