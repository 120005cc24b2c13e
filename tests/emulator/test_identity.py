"""Keys and tokens are real: checked here with a library's own eyes."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from emulator.clock import Clock
from emulator.identity import BadToken, KeyRing, Tokens
from emulator.journal import Journal
from emulator.knobs import Panel
from tests.emulator.running import wait_for

ISSUER = "http://platform.example/{}.piam/oauth/token"


@pytest.fixture
def keys(journal: Journal, still: Clock, panel: Panel) -> KeyRing:
    return KeyRing(journal, still, panel)


@pytest.fixture
def tokens(keys: KeyRing) -> Tokens:
    return Tokens(keys, ISSUER.format, lambda issuer: "core" if issuer == ISSUER.format("core") else None)


def mint(tokens: Tokens, **claims: object) -> str:
    return tokens.mint("core", {"client_id": "app", "ten": "custaa", "scope": ["a.b"], **claims}, 1800)


def test_a_token_says_what_it_was_minted_with(tokens: Tokens) -> None:
    claims = tokens.verify(mint(tokens))
    assert (claims.zone, claims.client_id, claims.tenant, claims.scopes) == ("core", "app", "custaa", {"a.b"})
    assert tokens.verify(mint(tokens, scope="a.b c.d")).scopes == {"a.b", "c.d"}


def test_tokens_are_rs256_and_live_half_an_hour_of_real_time(tokens: Tokens, still: Clock) -> None:
    """C3: times are real even while the emulator's clock is years away."""
    still.advance_to(still.now() + 10**9)
    token = mint(tokens)
    payload = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert payload["exp"] - payload["iat"] == 1800
    assert abs(payload["iat"] - time.time()) < 5


def test_published_keys_are_a_key_set_with_pem_beside(keys: KeyRing, tokens: Tokens) -> None:
    """C4: RFC 7517 members and PEM in ``value``; both verify."""
    published = keys.keys("core")[0].published
    assert set(published) == {"kty", "e", "use", "kid", "alg", "value", "n"}
    token = mint(tokens)
    for key in (jwt.PyJWK(published).key, published["value"]):
        decoded = jwt.decode(token, key, algorithms=["RS256"])
        assert decoded["ten"] == "custaa"


def test_each_zone_has_its_own_keys(keys: KeyRing) -> None:
    """C4"""
    assert keys.keys("core")[0].kid != keys.keys("custaa")[0].kid
    assert keys.zones() == ["core", "custaa"]


def test_a_tenants_key_server_shows_the_platforms_signing_key_first(keys: KeyRing, panel: Panel) -> None:
    """C4: a client in the field checks tokens of ``core`` against the first key of its tenant's server."""
    keys.rotate("core")
    core, own = keys.keys("core"), keys.keys("custaa")
    assert keys.published("custaa") == [core[0], own[0], core[1]]
    assert keys.published("core") == core
    panel.turn({"EMU_ZONE_KEYS": "shared"})
    assert keys.published("custaa") == keys.keys("custaa") == core


def test_after_a_rotation_the_new_key_signs_first_and_the_old_one_stays_for_the_grace(
    keys: KeyRing, tokens: Tokens, still: Clock, panel: Panel
) -> None:
    """C17"""
    old_token, old = mint(tokens), keys.signing("core").kid
    new = keys.rotate("core")
    assert [key.kid for key in keys.keys("core")] == [new, old]
    assert jwt.get_unverified_header(mint(tokens))["kid"] == new
    assert tokens.verify(old_token).tenant == "custaa"
    still.advance_to(still.now() + panel.now.key_grace_s + 1)
    assert [key.kid for key in keys.keys("core")] == [new]
    with pytest.raises(BadToken, match="key id"):
        tokens.verify(old_token)


def test_keys_and_their_retirement_survive_a_restart(
    keys: KeyRing, journal: Journal, still: Clock, panel: Panel
) -> None:
    """C18"""
    keys.keys("core")
    keys.rotate("core")
    again = KeyRing(journal, still, panel)
    assert [key.published for key in again.keys("core")] == [key.published for key in keys.keys("core")]
    still.advance_to(still.now() + panel.now.key_grace_s + 1)
    assert len(KeyRing(journal, still, panel).keys("core")) == 1


def test_a_token_ends_even_if_it_was_verified_before(tokens: Tokens) -> None:
    token = tokens.mint("core", {"ten": "custaa", "scope": []}, 1)
    assert tokens.verify(token).tenant == "custaa"
    wait_for(lambda: not accepted(tokens, token))


def accepted(tokens: Tokens, token: str) -> bool:
    try:
        tokens.verify(token)
    except BadToken as error:
        assert "Expired" in str(error)
        return False
    return True


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(tokens: Tokens) -> str:
    return f"{segment({'alg': 'none', 'kid': tokens.signing_kid('core')})}.{mint(tokens).split('.')[1]}."


def other_key(tokens: Tokens) -> str:
    head, body, _ = mint(tokens).split(".")
    return f"{head}.{body}.{mint(tokens, ten='custbb').split('.')[2]}"


def symmetric(tokens: Tokens) -> str:
    payload = jwt.decode(mint(tokens), options={"verify_signature": False})
    return jwt.encode(payload, "x" * 64, "HS256", headers={"kid": tokens.signing_kid("core")})


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        other_key,
        symmetric,
        lambda tokens: "not.a.token",
        lambda tokens: "",
        lambda tokens: mint(tokens, scope=7),
        lambda tokens: tokens.mint("other", {"ten": "custaa", "scope": []}, 60),
        lambda tokens: tokens.mint("core", {"scope": []}, 60),
        lambda tokens: tokens.mint("core", {"ten": "custaa", "scope": []}, -60),
    ],
    ids=["none", "foreign signature", "hs256", "garbage", "empty", "scope", "issuer", "no tenant", "expired"],
)
def test_a_token_that_proves_nothing_is_refused(tokens: Tokens, forge: Callable[[Any], str]) -> None:
    with pytest.raises(BadToken):
        tokens.verify(forge(tokens))
