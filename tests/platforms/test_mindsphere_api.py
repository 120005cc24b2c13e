"""The platform's APIs: exact requests out, answers in, every refusal with its likely cause."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import DETAIL_CHARS
from subscriber.platforms import mindsphere_api as api
from subscriber.settings import Settings

APPLICATION = api.Application(
    name="alarmapi",
    version="v1.4.2",
    host_tenant="acmeop",
    client_id="acmeop-alarmapi-v1.4.2",
    client_secret="s3cr:3t",
)
TOPIC = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
URI = "https://gateway.eu1.mindsphere.io/api/alarmapi-acmeop/v1/notifications/mindsphere"
PATH = f"/api/messagebroker/v4/subscribers/alarmapi/versions/v1.4.2/topics/{TOPIC}"
PLACES = {
    "gateway": "https://gateway.eu1.mindsphere.io",
    "app": "alarmapi",
    "host": "acmeop",
    "version": "v1.4.2",
    "major": "v1",
}


def envelope(code: str = "mdsp.core.generic.forbidden", message: str = "no") -> bytes:
    return orjson.dumps({"errors": [{"code": code, "logref": "1", "message": message}]})


def tenants(*names: str, number: int = 0, pages: int = 1, total: int | None = None) -> bytes:
    page = {"size": 100, "totalElements": len(names) if total is None else total, "totalPages": pages}
    return orjson.dumps({"userTenants": [{"id": name} for name in names], "page": {**page, "number": number}})


def jwt(claims: object) -> str:
    middle = urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    return f"e30.{middle}.c2ln"


def test_the_webhook_address_of_the_first_region_is_built_from_the_default_template() -> None:
    settings = Settings.from_environ(
        {
            "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
            "MDSP_KEY_STORE_CLIENT_SECRET": "s",
            "MDSP_OS_VM_APP_NAME": "alarmapi",
            "MDSP_OS_VM_APP_VERSION": "v1.4.2",
        }
    ).mindsphere
    assert settings
    uri = api.webhook_uri(
        settings.uri_template,
        gateway=settings.gateway_url,
        app=settings.app,
        host=settings.host_tenant,
        version=settings.version,
        major=settings.major,
    )
    assert uri == URI


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("{gateway}/api/{app}-{host}/{version}/{endpoint}", URI.replace("/v1/", "/v1.4.2/")),
        ("{public}/{endpoint}", "https://me.example/notifications/mindsphere"),
        ("{gateway}/{other}/{endpoint}", "https://gateway.eu1.mindsphere.io/{other}/notifications/mindsphere"),
    ],
)
def test_a_template_may_use_every_place(template: str, uri: str) -> None:
    assert api.webhook_uri(template, public="https://me.example", **PLACES) == uri


def test_a_value_that_looks_like_a_place_is_not_filled_again() -> None:
    places = {**PLACES, "app": "{host}"}
    assert api.webhook_uri("{app}-{host}/{endpoint}", **places) == "{host}-acmeop/notifications/mindsphere"


def test_a_token_is_asked_for_with_the_four_values_and_basic_credentials() -> None:
    request = api.token_request(APPLICATION, "custaa")
    assert (request.method, request.path) == ("POST", "/api/technicaltokenmanager/v3/oauth/token")
    assert orjson.loads(request.body or b"") == {
        "appName": "alarmapi",
        "appVersion": "v1.4.2",
        "hostTenant": "acmeop",
        "userTenant": "custaa",
    }
    scheme, encoded = request.headers["X-SPACE-AUTH-KEY"].split(" ")
    assert (scheme, b64decode(encoded)) == ("Basic", b"acmeop-alarmapi-v1.4.2:s3cr:3t")


def test_no_repr_shows_a_secret() -> None:
    request = api.token_request(APPLICATION, "custaa")
    shown = repr(APPLICATION) + repr(request)
    assert "s3cr" not in shown and request.headers["X-SPACE-AUTH-KEY"] not in shown


def test_only_the_access_token_is_needed_of_a_token_answer() -> None:
    assert api.read_token(200, b'{"access_token":"a.b.c"}', APPLICATION, "custaa") == "a.b.c"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"access_token":7}',
        b'{"access_token":""}',
        b'{"access_token":"a b"}',
        b'{"access_token":"a\\r\\nX: y"}',
        orjson.dumps({"access_token": "a" * (api.TOKEN_CHARS + 1)}),
    ],
)
def test_an_answer_without_a_usable_token_may_be_better_later(body: bytes) -> None:
    with pytest.raises(PlatformUnavailable) as caught:
        api.read_token(200, body, APPLICATION, "custaa")
    assert caught.value.reason == "unreadable_answer"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("status", "tenant", "reason", "words"),
    [
        (401, "custaa", "credentials_refused", ["wrong secret", "365 days", "only Read and Write credentials work"]),
        (403, "custaa", "tenant_refused", ["alarmapi v1.4.2 is not provisioned to custaa", "developer tenant"]),
        (403, "acmeop", "token_manager_refused", ["Token Manager access is not granted", "only Read and Write"]),
        (400, "custaa", "token_refused", ["as registered in the cockpit"]),
        (302, "custaa", "token_refused", []),
    ],
)
def test_a_refused_token_says_the_likely_cause(status: int, tenant: str, reason: str, words: list[str]) -> None:
    with pytest.raises(PlatformRefused) as caught:
        api.read_token(status, envelope(), APPLICATION, tenant)
    error = caught.value
    assert (error.reason, error.upstream_status) == (reason, status)
    assert all(word in error.detail for word in [*words, str(status), tenant, "mdsp.core.generic.forbidden: no"])
    assert "s3cr" not in str(error)


@pytest.mark.parametrize(
    ("claims", "lifetime"),
    [
        ({"iat": 100, "exp": 1900}, api.UnverifiedLifetime(100.0, 1900.0)),
        ({"exp": 1900}, api.UnverifiedLifetime(None, 1900.0)),
        ({"iat": "100", "exp": 1900}, api.UnverifiedLifetime(None, 1900.0)),
        ({"exp": "1900"}, None),
        ({"exp": True}, None),
        ({"exp": -1}, None),
        ({"exp": 1e300}, None),
        ([], None),
    ],
)
def test_a_tokens_own_times_are_read_without_trust(claims: object, lifetime: api.UnverifiedLifetime | None) -> None:
    assert api.unverified_lifetime(jwt(claims)) == lifetime


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.%%.c", "a..c", "a.b.c.d"])
def test_a_token_that_is_no_jwt_has_no_lifetime(token: str) -> None:
    assert api.unverified_lifetime(token) is None


def test_user_tenants_are_asked_for_by_page() -> None:
    request = api.user_tenants_request(3)
    assert (request.method, request.path) == ("GET", "/api/technicaltokenmanager/v3/userTenants?page=3&size=100")


def test_a_page_of_user_tenants_is_read() -> None:
    page = api.read_user_tenants(200, tenants("custaa", "custbb", number=1, pages=3, total=202))
    assert page == api.TenantPage(names=("custaa", "custbb"), number=1, total_pages=3, total_elements=202)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"userTenants":[]}',
        b'{"userTenants":{},"page":{}}',
        tenants("../custaa"),
        tenants(""),
        tenants("cust aa"),
        tenants("custaa", number=-1),
        tenants("custaa").replace(b'"totalPages":1', b'"totalPages":true'),
        tenants("custaa").replace(b'"id":"custaa"', b'"id":7'),
        tenants("custaa").replace(b'{"id":"custaa"}', b'"custaa"'),
    ],
)
def test_a_list_that_is_not_as_documented_is_not_half_believed(body: bytes) -> None:
    with pytest.raises(PlatformUnavailable):
        api.read_user_tenants(200, body)


def test_a_refused_list_says_whose_token_it_wants() -> None:
    with pytest.raises(PlatformRefused, match="host tenant's token") as caught:
        api.read_user_tenants(403, envelope())
    assert caught.value.reason == "tenant_list_refused"


def test_a_subscription_is_put_under_its_subscriber_version_and_topic() -> None:
    request = api.subscribe_request(api.subscription_path("/api/messagebroker/v4/", APPLICATION, TOPIC), URI)
    assert (request.method, request.path) == ("PUT", PATH)
    assert orjson.loads(request.body or b"") == {"uri": URI}
    assert request.headers["Content-Type"] == "application/json"


def test_the_older_spelling_of_the_same_is_post() -> None:
    assert api.subscribe_request(PATH, URI, "POST").method == "POST"


def test_names_cannot_leave_their_place_in_the_path() -> None:
    odd = api.Application(name="a/b?c", version="v1#", host_tenant="t", client_id="i", client_secret="s")
    assert api.subscription_path("/b", odd, "x y") == "/b/subscribers/a%2Fb%3Fc/versions/v1%23/topics/x%20y"


@pytest.mark.parametrize("status", [200, 201])
def test_created_and_updated_both_hold(status: int) -> None:
    api.read_subscribed(status, b"")


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (400, "subscription_invalid", "registered one"),
        (401, "credentials_refused", "only Read and Write credentials work"),
        (403, "broker_refused", "only tokens of Read and Write credentials"),
        (404, "topic_unknown", "does not know this topic"),
        (405, "verb_refused", "neither PUT nor POST"),
        (418, "platform_refused", "does not list"),
    ],
)
def test_a_refused_subscription_says_the_likely_cause(status: int, reason: str, words: str) -> None:
    with pytest.raises(PlatformRefused, match=words) as caught:
        api.read_subscribed(status, envelope())
    assert (caught.value.reason, caught.value.upstream_status) == (reason, status)


def test_a_lookup_tells_the_address_or_that_there_is_none() -> None:
    assert api.lookup_request(PATH).method == "GET"
    assert api.read_lookup(200, orjson.dumps({"uri": URI})) == URI
    assert api.read_lookup(404, envelope()) is None
    with pytest.raises(PlatformRefused):
        api.read_lookup(403, envelope())
    with pytest.raises(PlatformUnavailable):
        api.read_lookup(200, b'{"url":1}')


def test_a_subscription_that_was_gone_before_is_gone_too() -> None:
    assert (api.unsubscribe_request(PATH).method, api.unsubscribe_request(PATH).body) == ("DELETE", None)
    api.read_unsubscribed(204, b"")
    api.read_unsubscribed(404, envelope())
    with pytest.raises(PlatformRefused):
        api.read_unsubscribed(403, envelope())


ASSET = "/api/assetmanagement/v3/assets/7c1e"


def test_state_is_read_by_path_and_parameters() -> None:
    request = api.state_request(
        "/api/iottimeseries/v3/timeseries/7c1e/vitals", {"limit": 5, "select": ["a b", "c&d"]}
    )
    assert (request.method, request.body) == ("GET", None)
    assert request.path == "/api/iottimeseries/v3/timeseries/7c1e/vitals?limit=5&select=a+b&select=c%26d"
    assert api.state_request(ASSET, {}).path == ASSET


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api/x",
        "@evil.example/api/x",
        "//evil.example/api/x",
        "/api/",
        "/other/x",
        "/api/a/../b",
        "/api/a/%2e%2E/b",
        "/api/a/..%2fb",
        "/api/a/.",
        "/api/a?b=c",
        "/api/a#b",
        "/api/a b",
        "/api/a\r\nX: y",
        "/api/a\\..\\b",
        "/api/ä",
        "/api/" + "a" * 3000,
    ],
)
def test_a_path_that_leads_elsewhere_is_no_state_to_read(path: str) -> None:
    with pytest.raises(ValueError, match="/api/"):
        api.state_request(path, {})


def test_state_comes_parsed_and_an_empty_answer_is_none() -> None:
    assert api.read_state(200, b'{"name":"pump"}', ASSET) == {"name": "pump"}
    assert api.read_state(200, b"[1]", ASSET) == [1]
    assert api.read_state(204, b"", ASSET) is None
    with pytest.raises(PlatformUnavailable):
        api.read_state(200, b"<html>", ASSET)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "credentials_refused"), (403, "state_refused"), (404, "state_missing"), (302, "platform_refused")],
)
def test_a_refused_read_names_its_status_and_cause(status: int, reason: str) -> None:
    with pytest.raises(PlatformRefused, match="7c1e") as caught:
        api.read_state(status, envelope(), ASSET)
    assert (caught.value.upstream_status, caught.value.reason) == (status, reason)


@pytest.mark.parametrize(
    "body", [b"", b"no", b"[]", b'{"errors":[]}', b'{"errors":[7]}', b'{"errors":{"0":1}}', b'{"errors":[{}]}']
)
def test_a_body_that_is_no_error_envelope_adds_nothing(body: bytes) -> None:
    assert api.error_text(body) == ""


def test_an_error_text_is_one_bounded_line_without_control_characters() -> None:
    text = api.error_text(envelope("c\x1b[2J\n", "m" * 10_000))
    assert len(text) <= DETAIL_CHARS and text.isprintable()


READERS: list[Callable[[int, bytes], object]] = [
    lambda status, body: api.read_token(status, body, APPLICATION, "custaa"),
    api.read_user_tenants,
    api.read_subscribed,
    api.read_lookup,
    api.read_unsubscribed,
    lambda status, body: api.read_state(status, body, ASSET),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["errors", "code", "message", "userTenants", "page", "uri", "id"]), inner)
    ),
)


@given(st.sampled_from(READERS), st.sampled_from([200, 400, 403]), st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_whatever_a_platform_answers_is_read_or_named(
    reader: Callable[[int, bytes], object], status: int, body: bytes
) -> None:
    try:
        reader(status, body)
    except (PlatformRefused, PlatformUnavailable) as error:
        assert str(error).isprintable()


@given(st.text(max_size=40) | JSON.map(jwt))
def test_no_token_text_breaks_the_reading_of_its_times(token: str) -> None:
    api.unverified_lifetime(token)
