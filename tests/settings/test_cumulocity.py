"""The Cumulocity side: the platform's own names, and subscriptions checked completely."""

from __future__ import annotations

import json
from typing import Any

import pytest

from subscriber.errors import SettingsError
from subscriber.platforms.cumulocity_api import Grant, Rule
from subscriber.settings import CumulocitySettings, NamedSubscription, Settings

BOOTSTRAP = {
    "C8Y_BASEURL": "http://cumulocity:8111/",
    "C8Y_BOOTSTRAP_TENANT": "t1",
    "C8Y_BOOTSTRAP_USER": "servicebootstrap_hub",
    "C8Y_BOOTSTRAP_PASSWORD": "b00t-canary",
    "APPLICATION_NAME": "cold-hub",
}
SERVICE = {"C8Y_TENANT": "t2", "C8Y_USER": "service_hub", "C8Y_PASSWORD": "s3rv-canary"}


def cumulocity(*subscriptions: dict[str, Any], **environ: str) -> CumulocitySettings:
    found = Settings.from_environ({**BOOTSTRAP, "C8Y_SUBSCRIPTIONS": json.dumps(subscriptions), **environ}).cumulocity
    assert found is not None
    return found


def problems(*subscriptions: Any, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        cumulocity(*subscriptions, **environ)
    return caught.value.problems


def one(**members: Any) -> NamedSubscription:
    (found,) = cumulocity({"name": "cold", "context": "tenant", **members}).subscriptions
    return found


def test_without_an_address_cumulocity_is_off() -> None:
    assert Settings.from_environ({}).cumulocity is None
    environ = {"C8Y_SUBSCRIPTIONS": '[{"name":"a","context":"tenant","subscriber":"b"}]'}
    with pytest.raises(SettingsError, match="C8Y_BASEURL is not"):
        Settings.from_environ(environ)


def test_many_tenants_need_the_bootstrap_user() -> None:
    got = cumulocity()
    assert got.multi_tenant and got.base_url == "http://cumulocity:8111"
    assert (got.bootstrap.tenant, got.bootstrap.name) == ("t1", "servicebootstrap_hub")
    assert "C8Y_BOOTSTRAP_USER is needed" in problems(C8Y_BOOTSTRAP_USER="")[0]


def test_one_tenant_needs_its_service_user_and_bootstrap_may_stand_beside_it() -> None:
    got = cumulocity(C8Y_MICROSERVICE_ISOLATION="PER_TENANT", **SERVICE)
    assert not got.multi_tenant and got.service.authorization.startswith("Basic ")
    found = problems(C8Y_MICROSERVICE_ISOLATION="PER_TENANT")
    assert [problem.split()[0] for problem in found] == ["C8Y_TENANT", "C8Y_USER", "C8Y_PASSWORD"]


def test_a_local_run_of_many_tenants_may_have_a_service_user_beside_the_bootstrap_one() -> None:
    assert cumulocity(C8Y_MICROSERVICE_ISOLATION="MULTI_TENANT", **SERVICE).multi_tenant


def test_isolation_follows_from_the_credentials_where_it_is_not_said() -> None:
    assert cumulocity().isolation == "MULTI_TENANT"
    assert cumulocity(**SERVICE).isolation == "PER_TENANT"
    assert "MULTI_TENANT or PER_TENANT" in problems(C8Y_MICROSERVICE_ISOLATION="SHARED")[0]


@pytest.mark.parametrize(
    ("name", "value"), [("C8Y_BOOTSTRAP_TENANT", "t/1"), ("C8Y_BOOTSTRAP_USER", "t1/user"), ("C8Y_USER", "a:b")]
)
def test_a_user_is_named_without_its_tenant(name: str, value: str) -> None:
    assert problems(**{name: value})[0].startswith(name)


def test_passwords_are_shown_nowhere() -> None:
    settings = Settings.from_environ(BOOTSTRAP | SERVICE)
    assert "canary" not in repr(settings) and "canary" not in str(settings.table())
    assert "canary" not in str(problems(**SERVICE, C8Y_MICROSERVICE_ISOLATION="x"))


def test_a_subscription_of_a_whole_tenant() -> None:
    got = one(subscriber="ingest", apis=["inventory", "alarms"], typeFilter="'b' or 'a'")
    assert got.grant == Grant(subscription="cold", subscriber="ingest")
    assert got.rules == (Rule(name="cold", apis=("alarms", "managedobjects"), types=("a", "b")),)


def test_a_subscription_of_many_devices_with_every_option() -> None:
    got = one(
        subscriber="ingest",
        context="mo",
        sources=["5010", "5011"],
        fragmentsToCopy=["acme_B", "acme_A"],
        shared=True,
        nonPersistent=True,
        expiresInMinutes=60,
        signed=False,
        type="mqtt",
    )
    assert got.grant == Grant(
        subscription="cold",
        subscriber="ingest",
        shared=True,
        non_persistent=True,
        expires_in_minutes=60,
        signed=False,
        type="mqtt",
    )
    fragments = ("acme_A", "acme_B")
    assert got.rules == tuple(
        Rule(name="cold", source=source, fragments=fragments, non_persistent=True) for source in ("5010", "5011")
    )


def test_consumers_are_named_by_the_application_unless_they_have_a_name() -> None:
    assert one().grant.subscriber == "coldhub"
    assert "no APPLICATION_NAME" in problems({"name": "a", "context": "tenant"}, APPLICATION_NAME="")[0]


def test_one_name_may_have_rules_of_different_filters() -> None:
    (got,) = cumulocity(
        {"name": "cold", "context": "tenant", "apis": ["managedobjects"]},
        {"name": "cold", "context": "mo", "sources": ["7"], "apis": ["measurements"]},
    ).subscriptions
    assert [(rule.context, rule.apis) for rule in got.rules] == [
        ("tenant", ("managedobjects",)),
        ("mo", ("measurements",)),
    ]


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"name": "cold_chain"}, "[0].name must be letters and digits"),
        ({"subscriber": "in-gest"}, "[0].subscriber must be letters and digits"),
        ({"context": "device"}, "[0].context must be mo or tenant"),
        ({"sources": ["7"]}, "[0] has sources, which only the context mo has"),
        ({"context": "mo"}, "[0] needs 1 to 10000 sources"),
        ({"context": "mo", "sources": []}, "[0] needs 1 to 10000 sources"),
        ({"context": "mo", "sources": ["7", "7"]}, "cold: source 7 is subscribed 2 times"),
        ({"context": "mo", "sources": [7]}, "[0].sources[0] must be an id"),
        ({"apis": ["alarm"]}, "[0].apis[0] must be one of"),
        ({"apis": []}, "[0].apis must not be empty"),
        ({"apis": ["*", "alarms"]}, "[0].apis has * beside others"),
        ({"apis": ["alarmsWithChildren"]}, "[0].apis has …WithChildren"),
        ({"typeFilter": "a or b"}, "[0].typeFilter must"),
        ({"typeFilter": 7}, "[0].typeFilter must be a text"),
        ({"fragmentsToCopy": ["a b"]}, "[0].fragmentsToCopy[0] must be"),
        ({"expiresInMinutes": 0}, "[0].expiresInMinutes must be a whole number"),
        ({"shared": 1}, "[0].shared must be true or false"),
        ({"filter": {}}, "[0] has a member 'filter'"),
    ],
)
def test_what_the_platform_would_refuse_is_refused_with_its_place(members: dict[str, Any], wanted: str) -> None:
    (problem,) = problems({"name": "cold", "context": "tenant", **members})
    assert wanted in problem


def test_all_problems_are_named_at_once() -> None:
    (problem,) = problems({"name": "a_b", "context": "x", "shared": 7}, {"context": "mo"}, 7)
    for wanted in ("[0].name", "[0].context", "[0].shared", "[1] lacks name", "[1] needs", "[2] must be an object"):
        assert wanted in problem


def test_an_address_that_cannot_be_used_hides_no_other_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({"C8Y_BASEURL": "acme.example", "C8Y_MICROSERVICE_ISOLATION": "SINGLE"})
    told = "; ".join(caught.value.problems)
    assert "C8Y_BASEURL" in told and "C8Y_MICROSERVICE_ISOLATION" in told


def test_a_name_has_one_consumer() -> None:
    (problem,) = problems(
        {"name": "cold", "context": "tenant", "subscriber": "one"},
        {"name": "cold", "context": "mo", "sources": ["7"], "subscriber": "two"},
    )
    assert "cold: its objects differ" in problem


def test_the_instance_s_number_is_the_platform_s() -> None:
    assert cumulocity(CF_INSTANCE_INDEX="3").instance == "3"
