"""MindSphere's control verbs refuse what makes no sense, and say why."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from emulator.mindsphere import topics
from tests.emulator.conftest import World


@pytest.mark.parametrize(
    ("path", "members", "detail"),
    [
        ("/publish", {"tenant": "nobody"}, "no tenant"),
        ("/publish", {"topic": "nonsense"}, "not a topic"),
        ("/publish", {"count": 0}, "count"),
        ("/publish", {"count": 1.5}, "whole number"),
        ("/publish", {"count": 10_000_000}, "count"),
        ("/publish", {"count": 1_000_000, "tenant": ["acmeop", "custaa", "custbb"]}, "at most"),
        ("/publish", {"duplicate": 1.1}, "duplicate"),
        ("/publish", {"reorder": True}, "reorder"),
        ("/publish", {"items": 1001}, "items"),
        ("/publish", {"body_base64": "???"}, "base64"),
        ("/publish", {"tenant": [1]}, "list of texts"),
        ("/publish", {"message_id": 5}, "message_id"),
        ("/provision", {}, "missing"),
        ("/provision", {"tenants": ["Not A Tenant"]}, "not a tenant name"),
        ("/provision", {"tenants": ["custcc"], "host": "nobody"}, "hosts no application"),
        ("/provision", {"tenants": ["custcc"], "quiet": "yes"}, "true or false"),
        ("/deprovision", {"tenants": 7}, "list of texts"),
        ("/rotate-keys", {"zone": "nobody"}, "no zone"),
        ("/tokens", {"zone": "nobody"}, "no zone"),
        ("/tokens", {"lifetime_s": 0}, "lifetime_s"),
        ("/applications", {"version": "1.0"}, "version"),
        ("/applications", {"host": "nobody"}, "hosts no application"),
        ("/applications", {"credential_kind": "LIMITED"}, "credential_kind"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, path: str, members: dict[str, Any], detail: str) -> None:
    answer = world.client.session.post(f"{world.emulator.url}/_control{path}", json=members)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["reason"] == "misuse" and detail in error["detail"]


def test_a_persons_token_can_be_had_for_tests_of_consoles(world: World) -> None:
    members = {"zone": "custaa", "tenant": "custaa", "user_name": "ann", "scopes": ["alarmapi.operate"]}
    token = world.emulator.control("/tokens", {**members, "lifetime_s": 90})["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["user_name"], claims["ten"], claims["scope"]) == ("ann", "custaa", ["alarmapi.operate"])
    assert claims["exp"] - claims["iat"] == 90


def test_keys_rotate_everywhere_or_in_one_zone(world: World) -> None:
    """C17"""
    world.client.token()
    assert "core" in world.emulator.control("/rotate-keys", {})["signing"]
    assert list(world.emulator.control("/rotate-keys", {"zone": "custbb"})["signing"]) == ["custbb"]


def test_a_registration_is_changed_in_part(world: World) -> None:
    before = world.emulator.control("/applications", {"endpoints": ["/x"]})
    after = world.emulator.control("/applications", {"broker_scopes": []})
    assert after == {**before, "broker_scopes": []}
    assert all("client_secret" not in entry for entry in world.emulator.control("/applications")["applications"])


def test_tenants_and_service_credentials_are_listed(world: World) -> None:
    assert world.emulator.control("/tenants") == {"host": "acmeop", "user_tenants": ["custaa", "custbb"]}
    assert world.emulator.control("/service-credentials")["client_id"] == "acmeop-service"
    refused = world.client.session.get(f"{world.emulator.url}/_control/service-credentials?tenant=custaa")
    assert refused.status_code == 400


def test_calls_of_the_broker_are_counted_by_method_and_status_until_a_reset(world: World) -> None:
    world.emulator.control("/reset", {})
    assert world.emulator.control("/calls") == {"calls": {}}
    world.client.subscribe(topics.TOPICS["asset"])
    world.client.subscribe(topics.TOPICS["asset"])
    world.client.subscription("GET", topics.TOPICS["eventnotification"])
    assert world.emulator.control("/calls") == {"calls": {"GET": {"404": 1}, "PUT": {"200": 1, "201": 1}}}
