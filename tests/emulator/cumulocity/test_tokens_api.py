"""Tokens over HTTP, and the end of consumers."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant

TOKEN = "/notification2/token"


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def test_a_token_lives_a_day_unless_told(tenant: Tenant) -> None:
    """N2-4.1"""
    for more, seconds in (({}, 86_400), ({"expiresInMinutes": 1}, 60), ({"expiresInMinutes": None}, 86_400)):
        found = claims(tenant.token("A", **more))
        assert found["exp"] - found["iat"] == seconds
    assert claims(tenant.token("A", type="mqtt"))["topic"] == "t123/mqtt/A"


@pytest.mark.parametrize(
    "change",
    [
        {"subscriber": None},
        {"subscription": None},
        {"subscriber": "a_b"},
        {"expiresInMinutes": 0},
        {"expiresInMinutes": -1},
        {"expiresInMinutes": "1"},
        {"shared": "true"},
        {"type": "a/b"},
    ],
)
def test_a_wrong_request_is_unprocessable(tenant: Tenant, change: dict[str, object]) -> None:
    """N2-4.1"""
    answer = tenant.ask("POST", TOKEN, {"subscriber": "a", "subscription": "b", **change})
    assert answer.status_code == 422


def test_a_token_is_verified_for_its_claims(tenant: Tenant) -> None:
    """N2-4.3"""
    token = tenant.token("A", shared=True)
    assert tenant.get(TOKEN, token=token) == claims(token)
    assert tenant.ask("GET", TOKEN, params={"token": "x"}).status_code == 422


@pytest.mark.parametrize("path", ["/notification2/unsubscribe", "/notification2/unsubscribe/"])
@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_unsubscribing_ends_the_consumer_with_any_token_of_its_names(
    tenant: Tenant, path: str, body: bytes | None
) -> None:
    """N2-4.5: it closes connected clients (assumed) and drops the backlog."""
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    tenant.measurement(tenant.devices[0])
    address = f"{tenant.base}{path}?token={tenant.token('A')}"
    answer = tenant.session.post(address, data=body)
    assert (answer.status_code, answer.json()) == (200, {"result": "DONE"})
    assert reader.close_code() == 1000
    assert tenant.reader("A").silent()


def test_an_expired_token_unsubscribes_too(tenant: Tenant) -> None:
    """N2-4.5"""
    found = claims(tenant.token("A"))
    tenant.reader("A")
    old = jwt.encode({**found, "exp": 1}, "", algorithm="none")
    assert tenant.ask("POST", f"/notification2/unsubscribe?token={old}").json() == {"result": "DONE"}


def test_unsubscribing_what_is_no_more_fails_as_the_knob_says(world: World, tenant: Tenant) -> None:
    """N2-4.5: of several clients that all unsubscribe exactly one succeeds."""
    tenant.reader("A")
    path = f"/notification2/unsubscribe?token={tenant.token('A')}"
    assert [tenant.ask("POST", path).status_code for _ in range(2)] == [200, 500]
    for status in (404, 200):
        world.turn(n2_unsubscribe_missing=str(status))
        assert tenant.ask("POST", path).status_code == status
    assert tenant.ask("POST", "/notification2/unsubscribe?token=x").status_code == 422


@pytest.mark.parametrize(("made_by", "kept"), [("connect", 0), ("token", 1)])
def test_a_consumer_begins_with_its_first_connect_or_its_first_token(
    world: World, tenant: Tenant, made_by: str, kept: int
) -> None:
    """N2-5.16: seed 000 says the token makes it, three pages of the vendor say the connect."""
    world.turn(n2_consumer_created_by=made_by)
    tenant.rule("A", "measurements")
    token = tenant.token("A")
    tenant.measurement(tenant.devices[0])
    reader = tenant.socket(token)
    assert len(reader.frames(kept)) == kept and reader.silent()


def test_shared_tokens_may_be_limited_to_managed_objects(world: World, tenant: Tenant) -> None:
    """N2-5.14: as seed 000 says of release 10.16."""
    tenant.rule("A", "alarms")
    tenant.rule("B", "alarms", source=tenant.devices[0])
    tenant.token("A", shared=True)
    world.turn(n2_shared_only_mo=True)
    request = {"subscription": "A", "subscriber": "r", "shared": True}
    assert tenant.ask("POST", TOKEN, request).status_code == 422
    assert tenant.token("B", shared=True)
