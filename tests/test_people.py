"""Who reads and who operates: real tokens of real key servers in, readers and operators out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subscriber.access import ReadingRules
from subscriber.errors import Forbidden, InvalidToken, KeysUnavailable
from subscriber.model import Tenant
from subscriber.people import People, reports_for
from subscriber.store import Store, TenantState
from subscriber.tokens import Verifier
from tests.signing import Answer, KeyServer, bearer, broker_claims, jwk, mint, signing_key
from tests.store.conftest import clock, path, store, url
from tests.store.making import notification

__all__ = ["clock", "path", "store", "url"]  # fixtures

ACME, OTHER = Tenant("mindsphere", "custaa"), Tenant("mindsphere", "custbb")


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer() as server:
        for zone in ("core", "acmeop", "custaa", "custbb"):
            server.publish([jwk(key=signing_key(zone))], zone)
        yield server


@pytest.fixture
def people(keys: KeyServer, store: Store) -> People:
    store.registry.put_tenant(ACME, TenantState.ACTIVE)
    store.registry.put_tenant(OTHER, TenantState.LEAVING)
    rules = ReadingRules(app="alarmapi", host_tenant="acmeop", zones=frozenset({"core", "acmeop"}), own_zones=True)
    return People(Verifier(keys.issuer, keys.keys_url), rules, store.registry)


def token(keys: KeyServer, zone: str, tenant: str, **claims: object) -> str:
    scopes = ["alarmapi.read", "alarmapi.operate"]
    plain = broker_claims(keys.issuer(zone), ten=tenant, scope=scopes, **claims)
    return bearer(mint(plain, key=signing_key(zone)))


@pytest.mark.parametrize(("zone", "tenant"), [("core", "custaa"), ("acmeop", "custbb"), ("custaa", "custaa")])
def test_zones_of_the_settings_and_of_active_tenants_let_in(
    keys: KeyServer, people: People, zone: str, tenant: str
) -> None:
    assert people.reader(token(keys, zone, tenant)).tenants == (Tenant("mindsphere", tenant),)


@pytest.mark.parametrize("tenant", ["custbb", "custcc"])
def test_the_zone_of_a_tenant_that_is_not_active_is_no_issuer_and_is_not_asked(
    keys: KeyServer, people: People, tenant: str
) -> None:
    claims = broker_claims(keys.issuer(tenant), ten=tenant, scope=["alarmapi.read"])
    with pytest.raises(InvalidToken) as caught:
        people.reader(bearer(mint(claims)))
    assert caught.value.reason == "issuer" and keys.hits == []


def test_an_active_tenant_s_zone_cannot_speak_for_another(keys: KeyServer, people: People) -> None:
    for claimed in ("acmeop", "custbb", "core"):
        with pytest.raises((Forbidden, InvalidToken)):
            people.operator(token(keys, "custaa", claimed))


def test_a_token_that_another_zone_signed_is_refused(keys: KeyServer, people: People) -> None:
    claims = broker_claims(keys.issuer("core"), ten="acmeop", scope=["alarmapi.operate"])
    with pytest.raises(InvalidToken):
        people.operator(bearer(mint(claims, key=signing_key("custaa"))))


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YTpi", "Bearer a.b.c", "Bearer a b"])
def test_without_a_token_nobody_is_let_in(people: People, authorization: str | None) -> None:
    with pytest.raises(InvalidToken):
        people.reader(authorization)


def test_a_silent_key_server_is_not_the_caller_s_fault(keys: KeyServer, people: People) -> None:
    keys.answer = Answer.ERROR
    with pytest.raises(KeysUnavailable):
        people.reader(token(keys, "core", "custaa"))


def test_reports_are_blind_to_what_one_may_not_see(keys: KeyServer, people: People, store: Store) -> None:
    store.inbox.add([notification("a", tenant=ACME), notification("b", tenant=OTHER)])
    for who, rows in (
        (people.reader(token(keys, "core", "custaa")), 1),
        (people.operator(token(keys, "core", "custaa")), 1),
        (people.operator(token(keys, "core", "acmeop")), 2),
        (people.reader(token(keys, "core", "acmeop")), 0),
    ):
        assert reports_for(store.reports, who).counts().pending == rows
