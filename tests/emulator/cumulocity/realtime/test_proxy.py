"""Calls that rows stand for."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest

from emulator.cumulocity.realtime.proxy import Failed, Proxy
from emulator.cumulocity.realtime.templates import Request
from tests.emulator.cumulocity.running import Tenant


@pytest.fixture
def call(tenant: Tenant) -> Callable[..., object]:
    login, password = tenant.session.auth  # type: ignore[misc]
    basic = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()
    proxy = Proxy(lambda: tenant.base)
    return lambda method, uri, body="": asyncio.run(
        proxy.call(Request(method, uri, "application/json" if body else "", "", body), basic)
    )


def test_a_call_goes_in_through_the_front_door(call: Callable[..., object], tenant: Tenant) -> None:
    document = call("POST", "/inventory/managedObjects", '{"name":"ä"}')
    assert isinstance(document, dict) and document["name"] == "ä"
    assert call("DELETE", f"/inventory/managedObjects/{document['id']}") is None


@pytest.mark.parametrize("uri", ["/nothing/here", "/../_control/credentials", "/inventory/managedObjects/0"])
def test_what_the_rest_api_refuses_fails(call: Callable[..., object], uri: str) -> None:
    with pytest.raises(Failed) as caught:
        call("GET", uri)
    assert caught.value.status == 404
