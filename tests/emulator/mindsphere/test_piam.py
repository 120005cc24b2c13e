"""Key servers and service credentials, over sockets and with a library's eyes."""

from __future__ import annotations

import jwt
import pytest
import requests

from tests.emulator.conftest import World


def keys_of(world: World, zone: str | None = None) -> list[dict[str, str]]:
    path = f"/{zone}.piam/token_keys" if zone else "/token_keys"
    found: list[dict[str, str]] = world.client.session.get(world.emulator.url + path).json()["keys"]
    return found


def test_every_zone_has_a_key_server_of_its_own(world: World) -> None:
    """C4"""
    core = [key["kid"] for key in keys_of(world, "core")]
    shown = {zone: [key["kid"] for key in keys_of(world, zone)] for zone in ("acmeop", "acmedv", "custaa")}
    assert all(kids[0] == core[0] and set(core) <= set(kids) for kids in shown.values())
    own = [set(kids) - set(core) for kids in shown.values()]
    assert all(own) and len(set().union(*own)) == sum(map(len, own))  # nobody shows another tenant's
    assert [key["kid"] for key in keys_of(world)] == core
    assert world.client.session.get(world.emulator.url + "/nobody.piam/token_keys").status_code == 404


def test_a_token_verifies_against_the_keys_of_its_issuer(world: World) -> None:
    """C3, C4: the issuer's address with token_keys in place of oauth/token."""
    token = world.client.token("custaa")
    issuer = jwt.decode(token, options={"verify_signature": False})["iss"]
    assert issuer == world.client.credentials["piam"].format(tenant="core") + "/oauth/token"
    published = world.client.session.get(issuer.removesuffix("/oauth/token") + "/token_keys").json()
    key = jwt.PyJWKSet.from_dict(published)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], issuer=issuer, options={"verify_aud": False})
    assert claims["ten"] == "custaa" and claims["exp"] - claims["iat"] == 1800


def test_the_signing_key_is_first_and_the_retired_one_follows(world: World) -> None:
    """C4, C17"""
    old_token, old = world.client.token(), keys_of(world)[0]["kid"]
    signing = world.emulator.control("/rotate-keys", {"zone": "core"})["signing"]["core"]
    assert [key["kid"] for key in keys_of(world)][:2] == [signing, old]
    assert world.client.user_tenants().status_code == 200  # the old token, within the grace
    world.client._tokens.clear()
    assert jwt.get_unverified_header(world.client.token())["kid"] == signing
    world.advance(3601)
    assert old not in [key["kid"] for key in keys_of(world)]
    world.client._tokens["acmeop"] = old_token
    assert world.client.user_tenants().status_code == 401


def test_zones_may_share_the_keys_of_the_platform(world: World) -> None:
    """C4: which of the two the real platform does is not known."""
    world.turn(zone_keys="shared")
    assert keys_of(world, "acmeop") == keys_of(world, "custaa") == keys_of(world)
    token = service_token(world).json()["access_token"]
    assert jwt.get_unverified_header(token)["kid"] == keys_of(world)[0]["kid"]


def service_credentials(world: World) -> tuple[str, str]:
    """They are not handed out by a verb: read from the state, as a cockpit page would show them."""
    answer = world.emulator.control("/service-credentials?tenant=acmeop")
    return answer["client_id"], answer["client_secret"]


def service_token(world: World, zone: str = "acmeop", **form: str) -> requests.Response:
    return world.client.session.post(
        f"{world.emulator.url}/{zone}.piam/oauth/token",
        data={"grant_type": "client_credentials", **form},
        auth=service_credentials(world),
    )


def test_service_credentials_get_a_token_of_their_own_zone(world: World) -> None:
    """C1: the classic way beside the Token Manager."""
    answer = service_token(world)
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert (claims["zid"], claims["ten"], claims["client_id"]) == ("acmeop", "acmeop", "acmeop-service")


def test_service_credentials_are_good_in_their_tenant_only(world: World) -> None:
    assert service_token(world, "custaa").status_code == 401
    assert service_token(world, grant_type="password").status_code == 400


@pytest.mark.parametrize("fault", ["keys-down", "keys-garbage", "keys-huge", "keys-slow"])
def test_key_servers_fail_as_declared_and_recover(world: World, fault: str) -> None:
    world.turn(slow_s=0.3)
    world.fault(fault)
    address, session = world.emulator.url + "/core.piam/token_keys", world.client.session
    if fault == "keys-down":
        with pytest.raises(requests.ConnectionError):
            session.get(address)
    elif fault == "keys-slow":
        with pytest.raises(requests.ReadTimeout):
            session.get(address, timeout=0.1)
    elif fault == "keys-garbage":
        with pytest.raises(requests.JSONDecodeError):
            session.get(address).json()
    else:
        with session.get(address, stream=True) as answer:
            assert sum(map(len, answer.iter_content(65_536))) > 64 * 1024 * 1024
    world.fault("none")
    assert keys_of(world)
