"""Requests as the OpenAPI documents them, answers read with suspicion, refusals with their likely cause."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import orjson
import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms import cumulocity_api as api
from subscriber.platforms.cumulocity_api import Grant, Rule, ServiceUser, StoredRule


def body_of(request: Any) -> Any:
    return orjson.loads(request.body)


def envelope(error: str, message: str = "no") -> bytes:
    return orjson.dumps({"error": error, "message": message, "info": "https://docs.example"})


def page(*entries: Any) -> bytes:
    return orjson.dumps({"subscriptions": entries, "statistics": {"currentPage": 1, "pageSize": 5}})


def test_a_service_user_signs_with_its_tenant_and_hides_its_password() -> None:
    user = ServiceUser(tenant="t1", name="service_hub", password="s3cret:x")
    assert b64decode(user.authorization.removeprefix("Basic ")) == b"t1/service_hub:s3cret:x"
    assert "s3cret" not in repr(user)


def test_the_seed_s_tenant_subscription_is_asked_for_in_its_words() -> None:
    types = api.types_of("'c8y_BootEvent' or 'c8y_UnavailabilityAlarm'")
    request = api.create_request(Rule(name="SubscriptionA", apis=("alarms", "events"), types=types))
    assert (request.method, request.path) == ("POST", "/notification2/subscriptions")
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}
    assert body_of(request) == {
        "context": "tenant",
        "subscription": "SubscriptionA",
        "subscriptionFilter": {
            "apis": ["alarms", "events"],
            "typeFilter": "'c8y_BootEvent' or 'c8y_UnavailabilityAlarm'",
        },
    }


def test_the_seed_s_device_subscription_is_asked_for_in_its_words() -> None:
    rule = Rule(name="SubscriptionB", source="12345", apis=("measurements",), types=("c8y_Measurement",))
    assert body_of(api.create_request(rule)) == {
        "context": "mo",
        "subscription": "SubscriptionB",
        "source": {"id": "12345"},
        "subscriptionFilter": {"apis": ["measurements"], "typeFilter": "c8y_Measurement"},
    }


def test_everything_else_is_only_said_where_it_differs_from_the_default() -> None:
    assert body_of(api.create_request(Rule(name="all"))) == {"context": "tenant", "subscription": "all"}
    rule = Rule(name="cut", source="7", fragments=("acme_Level",), non_persistent=True)
    assert body_of(api.create_request(rule)) == {
        "context": "mo",
        "subscription": "cut",
        "source": {"id": "7"},
        "fragmentsToCopy": ["acme_Level"],
        "nonPersistent": True,
    }


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("c8y_Speed", ("c8y_Speed",)),
        ("'c8y_Speed'", ("c8y_Speed",)),
        ("type eq 'c8y_Speed'", ("c8y_Speed",)),
        ("'b' or 'a' or 'b'", ("a", "b")),
        ("type eq 'a' or type eq 'b'", ("a", "b")),
        ("'it''s' or 'x or y'", ("it's", "x or y")),
    ],
)
def test_a_type_filter_is_what_it_lets_through(text: str, types: tuple[str, ...]) -> None:
    assert api.types_of(text) == types
    assert api.types_of(api.type_filter_of(types)) == types


@pytest.mark.parametrize("text", ["", " ", "a or b", "'a' and 'b'", "'a' or", "'a", "''", "'a' or b", "not 'a'"])
def test_a_type_filter_of_another_language_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        api.types_of(text)


def test_what_was_created_and_what_was_there_are_told_apart() -> None:
    assert api.read_created(201, b"{}") and not api.read_created(409, envelope("reliable-notification/Duplicate"))


@pytest.mark.parametrize(
    ("status", "error", "reason", "cause"),
    [
        (401, "security/Unauthorized", "credentials_refused", "password"),
        (403, "security/Forbidden", "role_missing", "ROLE_NOTIFICATION_2_ADMIN"),
        (404, "inventory/Not Found", "source_unknown", "no managed object"),
        (404, "general/Not Found", "messaging_disabled", "10.13"),
        (422, "reliable-notification/Unprocessable Entity", "subscription_invalid", "measurements"),
        (418, "", "platform_refused", "does not list"),
    ],
)
def test_a_refused_rule_names_its_likely_cause(status: int, error: str, reason: str, cause: str) -> None:
    with pytest.raises(PlatformRefused) as caught:
        api.read_created(status, envelope(error, "said so"))
    assert (caught.value.reason, caught.value.upstream_status) == (reason, status)
    assert cause in caught.value.detail and "said so" in caught.value.detail


def test_a_refused_token_names_shared_consumers() -> None:
    with pytest.raises(PlatformRefused, match="10.16.*context mo") as caught:
        api.read_token(422, b"")
    assert caught.value.reason == "token_invalid"


def test_a_list_is_read_as_rules_whatever_half_of_a_filter_is_null() -> None:
    stored = api.read_list(
        200,
        page(
            {"id": 1, "context": "tenant", "subscription": "A", "subscriptionFilter": None, "source": {"id": "9"}},
            {
                "id": "2",
                "context": "mo",
                "subscription": "B",
                "source": {"id": "5", "name": "x"},
                "subscriptionFilter": {"apis": ["events", "alarms"], "typeFilter": None},
                "fragmentsToCopy": ["b", "a"],
                "nonPersistent": True,
            },
            {"id": "3", "context": "tenant", "subscription": "C", "subscriptionFilter": {"apis": ["*"]}},
        ),
    )
    assert stored == [
        StoredRule("1", Rule(name="A")),
        StoredRule(
            "2",
            Rule(name="B", source="5", apis=("alarms", "events"), fragments=("a", "b"), non_persistent=True),
        ),
        StoredRule("3", Rule(name="C")),
    ]


def test_a_filter_of_another_language_equals_none_of_ours() -> None:
    entry = {"id": "1", "context": "tenant", "subscription": "A", "subscriptionFilter": {"typeFilter": "'a' and 'b'"}}
    (stored,) = api.read_list(200, page(entry))
    assert stored.rule.types == ("'a' and 'b'",)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"subscriptions":[{}]}', b'{"subscriptions":[7]}'])
def test_an_unreadable_list_is_worth_asking_again(body: bytes) -> None:
    with pytest.raises(PlatformUnavailable):
        api.read_list(200, body)


def test_a_list_is_asked_for_by_page_and_filter() -> None:
    path = api.list_request(3, name="coldChain", context="mo", source="5 1").path
    wanted = "subscription=coldChain&context=mo&source=5+1&currentPage=3&pageSize=1000"
    assert path == f"/notification2/subscriptions?{wanted}"


def test_deleting_what_is_gone_is_fine() -> None:
    assert api.delete_request("a/b").path == "/notification2/subscriptions/a%2Fb"
    api.read_deleted(204, b"")
    api.read_deleted(404, envelope("reliable-notification/Not Found"))
    with pytest.raises(PlatformRefused):
        api.read_deleted(403, b"")


def test_a_token_is_asked_for_with_every_option() -> None:
    grant = Grant(subscription="A", subscriber="one", shared=True, non_persistent=True, expires_in_minutes=5)
    assert body_of(api.token_request(grant)) == {
        "subscription": "A",
        "subscriber": "one",
        "expiresInMinutes": 5,
        "type": "notification",
        "signed": True,
        "shared": True,
        "nonPersistent": True,
    }


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "a b.c.d", 7, "a.b." + "c" * 70_000])
def test_what_is_no_token_is_not_used(token: object) -> None:
    with pytest.raises(PlatformUnavailable):
        api.read_token(200, orjson.dumps({"token": token}))
    assert api.read_token(200, b'{"token":"e30.e30."}') == "e30.e30.", "an unsigned one has three parts as well"


def test_a_consumer_is_ended_by_its_token() -> None:
    request = api.unsubscribe_request("e30.e30.x")
    assert (request.method, request.path, request.body) == (
        "POST",
        "/notification2/unsubscribe?token=e30.e30.x",
        b"{}",
    )
    for result in (b'{"result":"DONE"}', b'{"result":"SCHEDULED"}'):
        api.read_unsubscribed(200, result)


def test_the_tenants_of_the_application_come_with_their_users() -> None:
    users = [{"tenant": "t1", "name": "service_hub", "password": "p1"}]
    assert api.tenants_request().path == "/application/currentApplication/subscriptions"
    assert api.read_tenants(200, orjson.dumps({"users": users})) == (
        ServiceUser(tenant="t1", name="service_hub", password="p1"),
    )
    assert api.read_tenants(200, b'{"users":[]}') == ()


@pytest.mark.parametrize("entry", [7, {}, {"tenant": "t/1", "name": "n", "password": "p"}, {"tenant": "t1"}])
def test_a_list_of_tenants_with_an_unreadable_entry_is_no_list(entry: object) -> None:
    with pytest.raises(PlatformUnavailable):
        api.read_tenants(200, orjson.dumps({"users": [entry]}))


def test_a_list_of_tenants_that_is_refused_names_the_bootstrap_user() -> None:
    with pytest.raises(PlatformRefused, match="C8Y_BOOTSTRAP_TENANT") as caught:
        api.read_tenants(401, envelope("security/Unauthorized"))
    assert caught.value.reason == "credentials_refused"


def test_state_is_read_from_any_path() -> None:
    assert api.state_request("/inventory/managedObjects/7", {}).path == "/inventory/managedObjects/7"
    assert api.read_state(200, b'{"id":"7"}', "/x") == {"id": "7"}
    assert api.read_state(204, b"", "/x") is None
    with pytest.raises(PlatformRefused) as caught:
        api.read_state(404, envelope("inventory/Not Found"), "/x")
    assert caught.value.reason == "state_missing"
