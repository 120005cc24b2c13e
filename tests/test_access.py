"""Who may deliver and for whom, who may read and what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from subscriber.access import DeliveryRules, ReadingRules
from subscriber.errors import Forbidden
from subscriber.model import Claims, Tenant

RULES = DeliveryRules(
    required_scopes=frozenset({"alarmapi.notify"}),
    trusted_tenants=frozenset({"core", "acmeop"}),
    allowed_callers=frozenset(),
    own_client_id="acmeop-alarmapi-v1.4.2",
)


def claims(
    *,
    tenant: str = "custaa",
    client_id: str = "message-broker",
    scopes: frozenset[str] = frozenset({"alarmapi.notify"}),
    person: bool = False,
) -> Claims:
    return Claims(
        issuer="https://core.piam.eu1.mindsphere.io/oauth/token",
        zone="core",
        subject=client_id,
        client_id=client_id,
        tenant=tenant,
        scopes=scopes,
        person=person,
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )


def rules(*, scopes: str = "alarmapi.notify", callers: frozenset[str] = frozenset()) -> DeliveryRules:
    return DeliveryRules(
        required_scopes=frozenset(scopes.split(",")),
        trusted_tenants=RULES.trusted_tenants,
        allowed_callers=callers,
        own_client_id=RULES.own_client_id,
    )


def refusal(rules: DeliveryRules, who: Claims) -> str:
    with pytest.raises(Forbidden) as caught:
        rules.admit(who)
    assert caught.value.status == 403
    return caught.value.reason


def test_a_program_with_the_scope_may_deliver() -> None:
    RULES.admit(claims())
    RULES.admit(claims(scopes=frozenset({"another.scope", "alarmapi.notify"})))


@pytest.mark.parametrize(
    "near_miss",
    [
        "alarmapi.notif",
        "alarmapi.notify2",
        "Alarmapi.notify",
        "xalarmapi.notify",
        "alarmapi.notify.more",
        "alarmapi.*",
        "*",
        "alarmapi",
        "notify",
        "alarmapi.notify ",
        "alarmapi.notify,other",
    ],
)
def test_a_scope_that_almost_fits_does_not(near_miss: str) -> None:
    assert refusal(RULES, claims(scopes=frozenset({near_miss}))) == "scope"


def test_all_required_scopes_are_needed() -> None:
    both = rules(scopes="alarmapi.notify,alarmapi.extra")
    assert refusal(both, claims()) == "scope"
    both.admit(claims(scopes=frozenset({"alarmapi.extra", "alarmapi.notify"})))
    assert refusal(both, claims(scopes=frozenset())) == "scope"


def test_a_person_never_delivers() -> None:
    assert refusal(RULES, claims(person=True)) == "caller"
    assert refusal(rules(callers=frozenset({"message-broker"})), claims(person=True)) == "caller"


def test_our_own_client_never_delivers() -> None:
    own = claims(client_id=RULES.own_client_id)
    assert refusal(RULES, own) == "caller"
    assert refusal(rules(callers=frozenset({RULES.own_client_id})), own) == "caller"


def test_a_token_that_names_no_tenant_never_delivers() -> None:
    assert refusal(RULES, claims(tenant="")) == "tenant"


def test_only_listed_callers_deliver_where_there_is_a_list() -> None:
    listed = rules(callers=frozenset({"message-broker"}))
    listed.admit(claims())
    for client_id in ("message-broker2", "Message-Broker", ""):
        assert refusal(listed, claims(client_id=client_id)) == "caller"


@pytest.mark.parametrize("trusted", ["core", "acmeop"])
def test_a_trusted_tenant_delivers_for_every_listed_one(trusted: str) -> None:
    assert RULES.for_tenants(claims(tenant=trusted), ["custaa", "custbb"]) == ("custaa", "custbb")


def test_a_tenant_listed_twice_is_written_once() -> None:
    assert RULES.for_tenants(claims(tenant="core"), ["custbb", "custaa", "custbb"]) == ("custbb", "custaa")


def test_any_other_tenant_delivers_for_itself_only() -> None:
    assert RULES.for_tenants(claims(), ["custaa"]) == ("custaa",)
    assert RULES.for_tenants(claims(), ["custbb", "custaa", "custcc"]) == ("custaa",)


@pytest.mark.parametrize(
    ("tenant", "listed"),
    [
        ("custaa", ["custbb"]),
        ("custaa", ["custaaa", "custa", "CUSTAA", " custaa"]),
        ("custaa", ["core"]),
        ("custaa", []),
        ("cor", ["custaa"]),
        ("core,custaa", ["custaa"]),
        ("", ["custaa"]),
        ("", [""]),
    ],
)
def test_a_delivery_that_does_not_list_the_caller_s_tenant_is_refused(tenant: str, listed: list[str]) -> None:
    with pytest.raises(Forbidden) as caught:
        RULES.for_tenants(claims(tenant=tenant), listed)
    assert caught.value.reason == "tenant"


def reading(**changes: Any) -> ReadingRules:
    plain = {
        "app": "alarmapi",
        "host_tenant": "acmeop",
        "zones": frozenset({"core", "acmeop"}),
        "own_zones": True,
        "aliases": {Tenant("cumulocity", "t1234"): "custaa", Tenant("pelion", "fleet"): "custbb"},
    }
    return ReadingRules(**{**plain, **changes})


def reader_claims(tenant: str = "custaa", *, scopes: str = "alarmapi.read", **changes: Any) -> Claims:
    return replace(claims(tenant=tenant, scopes=frozenset(scopes.split(","))), **changes)


def test_a_reader_sees_its_own_tenant_and_those_that_its_name_is_an_alias_for() -> None:
    who = reading().reader(reader_claims())
    assert who.tenants == (Tenant("mindsphere", "custaa"), Tenant("cumulocity", "t1234"))
    assert reading().reader(reader_claims("custcc")).tenants == (Tenant("mindsphere", "custcc"),)


def test_people_and_programs_read_alike_and_are_called_by_their_names() -> None:
    person = reader_claims(person=True, user_name="ada@custaa.example")
    assert reading().reader(person).name == "ada@custaa.example (custaa)"
    assert reading().reader(reader_claims()).name == "message-broker (custaa)"


def test_reading_as_the_host_shows_the_host_s_own() -> None:
    assert reading().reader(reader_claims("acmeop")).tenants == (Tenant("mindsphere", "acmeop"),)


def test_operators_of_the_host_see_everybody_others_their_own() -> None:
    host = reading().operator(reader_claims("acmeop", scopes="alarmapi.operate"))
    assert host.tenants is None and host.may_see(Tenant("mindsphere", "custbb"))
    other = reading().operator(reader_claims("custbb", scopes="alarmapi.operate"))
    assert other.tenants == (Tenant("mindsphere", "custbb"), Tenant("pelion", "fleet"))
    assert other.may_see(Tenant("pelion", "fleet")) and not other.may_see(Tenant("mindsphere", "custaa"))


@pytest.mark.parametrize(
    "scopes", ["alarmapi.operate", "alarmapi.notify", "other.read", "read", "alarmapi.reader", ""]
)
def test_reading_needs_its_own_scope(scopes: str) -> None:
    with pytest.raises(Forbidden) as caught:
        reading().reader(reader_claims(scopes=scopes))
    assert caught.value.reason == "scope"


@pytest.mark.parametrize("scopes", ["alarmapi.read", "alarmapi.notify", "other.operate"])
def test_operating_needs_its_own_scope(scopes: str) -> None:
    with pytest.raises(Forbidden) as caught:
        reading().operator(reader_claims("acmeop", scopes=scopes))
    assert caught.value.reason == "scope"


@pytest.mark.parametrize("tenant", ["acmeop", "custbb", "core", ""])
def test_a_tenant_s_own_zone_speaks_for_that_tenant_alone(tenant: str) -> None:
    token = reader_claims(tenant, scopes="alarmapi.read,alarmapi.operate", zone="custaa")
    for ask in (reading().reader, reading().operator):
        with pytest.raises(Forbidden) as caught:
            ask(token)
        assert caught.value.reason == "tenant"
    assert reading().reader(reader_claims(zone="custaa")).tenants[0].name == "custaa"


def test_only_what_can_name_a_tenant_can_name_a_zone() -> None:
    assert reading().own_zone("custaa") == "custaa"
    assert reading().own_zone("acmeop") is None  # speaks for everybody already
    for name in ("", "a.b", "a/b", "A", "a@b", "-a", "a b", "a" * 64, "ä"):
        assert reading().own_zone(name) is None
    assert reading(own_zones=False).own_zone("custaa") is None
