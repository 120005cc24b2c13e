"""Application credentials in, tokens out; and who the user tenants are."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import pytest

from tests.emulator.conftest import World
from tests.emulator.running import Client


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def code(answer: Any) -> str:
    found: str = answer.json()["errors"][0]["code"]
    return found.removeprefix("mdsp.core.generic.")


def test_a_token_is_had_by_body_or_by_query(world: World) -> None:
    """C1"""
    client = world.client
    by_body = client.ask_token("custaa").json()
    by_query = client.ask_token(json=None, params=client.token_body("custaa")).json()
    for answer in (by_body, by_query):
        assert claims(answer["access_token"])["ten"] == "custaa"
        assert answer["token_type"] == "bearer" and 0 < answer["expires_in"] <= 1800


def test_body_and_query_may_not_be_mixed(world: World) -> None:
    """C1"""
    answer = world.client.ask_token("custaa", params={"userTenant": "custaa"})
    assert (answer.status_code, code(answer)) == (400, "invalidParameter")


def test_unknown_members_are_ignored(world: World) -> None:
    """C1"""
    body = {**world.client.token_body("custaa"), "grant_type": "client_credentials", "other": [1]}
    assert world.client.ask_token(json=body, params={"grant_type": "client_credentials"}).status_code == 200


@pytest.mark.parametrize("member", ["appName", "appVersion", "hostTenant", "userTenant"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_each_member_is_needed(world: World, member: str, value: object) -> None:
    """C1"""
    body: dict[str, object] = {**world.client.token_body("custaa"), member: value}
    answer = world.client.ask_token(json=body)
    assert (answer.status_code, code(answer)) == (400, "invalidRequestBodyProperty")


def test_the_key_header_comes_in_its_published_spellings(world: World) -> None:
    """C1: Basic, Bearer before the same value, or the Authorization header."""
    basic, bearer = world.client.basic, world.client.basic.replace("Basic", "Bearer")
    for headers in ({"X-SPACE-AUTH-KEY": basic}, {"X-SPACE-AUTH-KEY": bearer}, {"Authorization": basic}):
        assert world.client.ask_token(headers=headers).status_code == 200
    world.turn(ttm_accept_bearer_key=False)
    assert world.client.ask_token(headers={"X-SPACE-AUTH-KEY": bearer}).status_code == 401


@pytest.mark.parametrize("header", [None, "Basic ???", "Basic " + base64.b64encode(b"acmeop:x").decode()])
def test_bad_credentials_are_unauthorized(world: World, header: str | None) -> None:
    answer = world.client.ask_token(headers={"X-SPACE-AUTH-KEY": header} if header else {})
    assert (answer.status_code, code(answer)) == (401, "unauthorized")


def test_an_operator_acts_for_itself_and_for_provisioned_tenants_only(world: World) -> None:
    """C2"""
    assert {tenant: world.client.ask_token(tenant).status_code for tenant in ("acmeop", "custaa", "custcc")} == {
        "acmeop": 200,
        "custaa": 200,
        "custcc": 403,
    }
    world.emulator.control("/provision", {"tenants": ["custcc"]})
    assert world.client.ask_token("custcc").status_code == 200
    world.emulator.control("/deprovision", {"tenants": ["custcc"]})
    assert world.client.ask_token("custcc").status_code == 403


def test_a_developer_acts_for_itself_only(world: World) -> None:
    """C2"""
    developer = Client(world.emulator.control("/credentials?tenant=acmedv")["mindsphere"])
    assert developer.ask_token("acmedv").status_code == 200
    assert developer.ask_token("custaa").status_code == 403
    developer.close()


@pytest.mark.parametrize(
    "change", [{"appName": "other"}, {"appVersion": "1.4.2"}, {"appVersion": "v1.4.3"}, {"hostTenant": "acmedv"}]
)
def test_credentials_serve_their_own_application_and_version(world: World, change: dict[str, str]) -> None:
    """C2, C7"""
    answer = world.client.ask_token(json={**world.client.token_body("acmeop"), **change})
    assert (answer.status_code, code(answer)) == (403, "forbidden")


def several(world: World, tenants: object) -> Any:
    body = {"appName": "alarmapi", "appVersion": "v1.4.2", "hostTenantId": "acmeop", "userTenantIds": tenants}
    return world.client.session.post(
        f"{world.client.gateway}/api/technicaltokenmanager/v3/oauthTokens",
        json=body,
        headers={"X-SPACE-AUTH-KEY": world.client.basic},
    )


def test_at_most_two_tokens_come_at_once(world: World) -> None:
    """C1"""
    answer = several(world, ["custaa", "custbb"])
    assert [claims(entry["access_token"])["ten"] for entry in answer.json()["tokens"]] == ["custaa", "custbb"]
    for wrong in ([], ["acmeop", "custaa", "custbb"], "custaa", [1]):
        assert several(world, wrong).status_code == 400
    assert several(world, ["custaa", "nobody"]).status_code == 403


def test_throttling_says_when_to_come_again(world: World) -> None:
    world.fault("token-throttle")
    answer = world.client.ask_token()
    assert (answer.status_code, code(answer)) == (429, "tooManyRequests")
    assert int(answer.headers["Retry-After"]) > 0
    world.fault("none")
    assert world.client.ask_token().status_code == 200


@pytest.mark.parametrize(("fault", "status"), [("api-5xx", 500), ("api-429", 429)])
def test_the_platforms_apis_fail_as_declared(world: World, fault: str, status: int) -> None:
    token = world.client.token()
    world.fault(fault)
    assert world.client.ask_token().status_code == status
    assert token and world.client.user_tenants().status_code == status


def test_user_tenants_come_in_pages(world: World) -> None:
    """C13"""
    world.emulator.control("/provision", {"tenants": [f"t{number:03}" for number in range(253)], "quiet": True})
    found: list[str] = []
    number, pages = 0, 1
    while number < pages:
        answer = world.client.user_tenants(page=number, size=100).json()
        found += [entry["id"] for entry in answer["userTenants"]]
        assert answer["page"] == {"size": 100, "totalElements": 255, "totalPages": 3, "number": number}
        number, pages = number + 1, answer["page"]["totalPages"]
    assert len(set(found)) == 255 and "custaa" in found and "acmeop" not in found
    assert len(world.client.user_tenants().json()["userTenants"]) == 100
    assert world.client.user_tenants(page=99).json()["userTenants"] == []


@pytest.mark.parametrize("params", [{"size": 501}, {"size": 0}, {"size": "all"}, {"page": -1}, {"page": "²"}])
def test_a_page_has_bounds(world: World, params: dict[str, object]) -> None:
    """C13"""
    answer = world.client.user_tenants(**params)
    assert (answer.status_code, code(answer)) == (400, "invalidParameter")


def test_the_list_needs_the_host_tenants_token(world: World) -> None:
    """C13"""
    assert world.client.user_tenants("custaa").status_code == 403
    stranger = {"client_id": "acmeop-alarmapi-v1.4.2", "tenant": "acmeop", "scopes": ["mb.s.w"]}
    world.client._tokens["acmeop"] = world.emulator.control("/tokens", stranger)["access_token"]
    assert world.client.user_tenants().status_code == 403


def test_the_host_may_be_on_its_own_list(world: World) -> None:
    """C13: unknown, so a knob."""
    world.turn(user_tenants_host=True)
    assert {"id": "acmeop"} in world.client.user_tenants().json()["userTenants"]
