"""Tokens in, callers out; and what the platform's own tokens say."""

from __future__ import annotations

import base64

import jwt
import pytest

from emulator.clock import Clock
from emulator.identity import KeyRing, Tokens
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.mindsphere.access import Access, basic_credentials, broker_scopes
from emulator.mindsphere.errors import PlatformError
from emulator.mindsphere.registry import Application, new_application

APPLICATION: Application = new_application("alarmapi", "v1.4.2", "acmeop")


@pytest.fixture
def access(journal: Journal, still: Clock, panel: Panel) -> Access:
    keys = KeyRing(journal, still, panel)
    return Access(Tokens(keys, "http://h/{}.piam/oauth/token".format, lambda issuer: "core"), panel)


def claims(token: str) -> dict[str, object]:
    decoded: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def test_an_application_token_acts_for_the_user_tenant(access: Access) -> None:
    """C3"""
    found = claims(access.application_token(APPLICATION, "custaa"))
    assert found["ten"] == "custaa"
    assert found["client_id"] == found["sub"] == found["cid"] == found["azp"] == "acmeop-alarmapi-v1.4.2"
    assert found["scope"] == ["mb.s.w", "mb.s.r", "mb.m.w", "km.usr", *APPLICATION.scopes]
    assert found["iss"] == "http://h/core.piam/oauth/token" and found["zid"] == "core"


def test_a_delivery_token_has_exactly_the_mapped_scopes(access: Access) -> None:
    """C12"""
    found = claims(access.delivery_token(APPLICATION, "custaa"))
    assert found["scope"] == ["alarmapi.notify"]
    assert found["client_id"] == "message-broker"
    assert found["aud"] == ["message-broker", "alarmapi"]


@pytest.mark.parametrize(("word", "tenant"), [("context", "custaa"), ("host", "acmeop"), ("core", "core")])
def test_the_brokers_own_tenant_is_a_knob(access: Access, panel: Panel, word: str, tenant: str) -> None:
    panel.turn({"EMU_BROKER_TEN": word, "EMU_BROKER_ISS_ZONE": "acmeop", "EMU_BROKER_CLIENT_ID": "mb"})
    found = claims(access.delivery_token(APPLICATION, "custaa"))
    assert (found["ten"], found["zid"], found["client_id"]) == (tenant, "acmeop", "mb")


def test_a_delivery_token_is_reused_while_it_is_young_and_its_key_signs(access: Access) -> None:
    first = access.delivery_token(APPLICATION, "custaa")
    assert access.delivery_token(APPLICATION, "custaa") == first
    assert access.delivery_token(APPLICATION, "custbb") != first


def test_scopes_of_the_broker_are_a_knob(panel: Panel) -> None:
    panel.turn({"EMU_MB_SCOPES": "write=w, read=r"})
    assert broker_scopes(panel) == {"write": "w", "read": "r"}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_client_credentials_may_hold_colons_in_the_secret() -> None:
    assert basic_credentials("bAsIc " + encoded("id:a:b"), ("basic",)) == ("id", "a:b")


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Basic " + encoded("nocolon"), "Bearer " + encoded("a:b")]
)
def test_malformed_client_credentials_are_unauthorized(header: str) -> None:
    with pytest.raises(PlatformError) as refusal:
        basic_credentials(header, ("basic",))
    assert refusal.value.status == 401
