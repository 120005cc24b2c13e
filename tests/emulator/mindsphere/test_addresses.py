"""The emulator knows its own addresses, and nobody else's."""

from __future__ import annotations

import pytest

from emulator.mindsphere.addresses import Addresses


@pytest.fixture
def addresses() -> Addresses:
    addresses = Addresses(lambda zone: zone in ("core", "acmeop"))
    addresses.public = "http://127.0.0.1:8090"
    return addresses


def test_issuer_and_zone_are_each_others_inverse(addresses: Addresses) -> None:
    assert addresses.issuer("core") == "http://127.0.0.1:8090/core.piam/oauth/token"
    assert addresses.zone_of(addresses.issuer("acmeop")) == "acmeop"
    assert addresses.issuer("core") == addresses.piam.format(tenant="core") + "/oauth/token"


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "http://127.0.0.1:8090/strange.piam/oauth/token",
        "https://127.0.0.1:8090/core.piam/oauth/token",
        "http://evil.example/http://127.0.0.1:8090/core.piam/oauth/token",
        "http://127.0.0.1:8090/core.piam/oauth/token/",
        "http://127.0.0.1:8090/core.piam/oauth/token\n",
    ],
)
def test_another_issuer_has_no_zone(addresses: Addresses, issuer: str) -> None:
    assert addresses.zone_of(issuer) is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("http://127.0.0.1:8090/gateway/api/a-b/v1/n", "/api/a-b/v1/n"),
        ("http://localhost:8090/api/a-b/v1/n?x=1", "/api/a-b/v1/n?x=1"),
        ("http://[::1]:8090/api/a-b/v1/n", "/api/a-b/v1/n"),
        ("http://127.0.0.1:8091/api/a-b/v1/n", None),
        ("http://example.com:8090/api/a-b/v1/n", None),
        ("ftp://127.0.0.1:8090/api/a-b/v1/n", None),
        ("http://127.0.0.1:8090/api/a-b/v1/n#part", None),
        ("http://127.0.0.1:port/api", None),
        ("http://[::1/api", None),
    ],
)
def test_only_the_gateways_own_addresses_have_a_path(addresses: Addresses, uri: str, path: str | None) -> None:
    """C8"""
    assert addresses.gateway_path(uri) == path


def test_off_loopback_the_name_must_be_the_same(addresses: Addresses) -> None:
    addresses.public = "http://192.0.2.7:8090"
    assert not addresses.loopback
    assert addresses.gateway_path("http://192.0.2.7:8090/api/x") == "/api/x"
    assert addresses.gateway_path("http://127.0.0.1:8090/api/x") is None
