"""Calls as the public API contract has them, and every answer it lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms import pelion_api as api
from subscriber.platforms.pelion.rules import Presubscription

EP = "017f0000000000000000000100100001"
ON = {"type": "v2", "cfg": dict.fromkeys(api.FLAGS, True)}
QUOTED = {"type": "v2", "max_chunk_size": "100", "cfg": dict.fromkeys(api.FLAGS, "true")}
PARTLY = {"type": "v2", "cfg": {"include_uid": True}}


def body(document: Any) -> bytes:
    return orjson.dumps(document)


def test_every_registration_asks_for_all_flags() -> None:
    request = api.callback_request("https://hooks.example.org/x", {"X-Secret": "s"})
    assert (request.method, request.path) == ("PUT", "/v2/notification/callback")
    assert orjson.loads(request.body or b"") == {
        "url": "https://hooks.example.org/x",
        "headers": {"X-Secret": "s"},
        "serialization": ON,
    }
    request = api.websocket_request()
    assert (request.method, request.path) == ("PUT", "/v2/notification/websocket")
    assert orjson.loads(request.body or b"") == {"serialization": ON}
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("request_", "method", "path"),
    [
        (api.channel_request(), "GET", "/v2/notification/channel"),
        (api.registration_request(), "GET", "/v2/notification/callback"),
        (api.enrolled_request(), "GET", "/v2/notification/websocket"),
        (api.delete_request("callback"), "DELETE", "/v2/notification/callback"),
        (api.delete_request("websocket"), "DELETE", "/v2/notification/websocket"),
        (api.rules_request(), "GET", "/v2/subscriptions"),
        (api.observed_request(EP), "GET", f"/v2/subscriptions/{EP}"),
        (api.subscribe_request(EP, "/3303/0/5700"), "PUT", f"/v2/subscriptions/{EP}/3303/0/5700"),
        (api.unsubscribe_request("a/b", "/3303"), "DELETE", "/v2/subscriptions/a%2Fb/3303"),
        (api.account_request(), "GET", "/v3/accounts/me"),
        (api.state_request("/v2/endpoints", {"type": "x"}), "GET", "/v2/endpoints?type=x"),
    ],
)
def test_calls_without_a_body(request_: Any, method: str, path: str) -> None:
    assert (request_.method, request_.path, request_.body) == (method, path, None)


def test_a_key_is_a_bearer_or_a_subprotocol_and_stands_in_no_request() -> None:
    assert (api.bearer("ak_1x"), api.protocols("ak_1x")) == ("Bearer ak_1x", ("wss", "pelion_ak_1x"))
    assert "Authorization" not in api.channel_request().headers


@pytest.mark.parametrize(
    ("status", "document", "mode"),
    [
        (404, {"object": "error"}, ""),
        (200, {"delivery_mechanism": "CALLBACK"}, "callback"),
        (200, {"delivery_mechanism": "WEB_SOCKET"}, "websocket"),
        (200, {"delivery_mechanism": "LONG_POLLING"}, "LONG_POLLING"),
    ],
)
def test_which_kind_of_channel_there_is(status: int, document: Any, mode: str) -> None:
    assert api.read_channel(status, body(document)) == mode


@pytest.mark.parametrize(("asked", "complete"), [(ON, True), (QUOTED, True), (PARTLY, False), (None, False)])
def test_a_registration_that_was_found_tells_its_flags(asked: Any, complete: bool) -> None:
    document = {"url": "https://x", "headers": {"X-Secret": "s3cret"}, "serialization": asked}
    found = api.read_registration(200, body(document))
    assert found is not None and (found.url, found.headers, found.complete) == (
        "https://x",
        {"X-Secret": "s3cret"},
        complete,
    )
    assert "s3cret" not in repr(found)
    assert api.read_enrolled(200, body({"serialization": asked})) == api.Enrolled(created=False, complete=complete)
    assert api.read_enrolled(201, body({"status": "disconnected"})) == api.Enrolled(created=True, complete=True)


def test_headers_may_be_null_and_an_empty_answer_is_a_channel_of_before() -> None:
    found = api.read_registration(200, b'{"url":"https://x","headers":null}')
    assert found is not None and (found.headers, found.complete) == ({}, False)
    assert api.read_registration(404, b"") is None
    assert api.read_enrolled(200, b"") == api.Enrolled(created=False, complete=False)


def test_what_is_done_or_was_done_before_is_fine() -> None:
    api.read_registered(204, b"")
    for status in (204, 404):
        api.read_deleted(status, b"")
        api.read_unsubscribed(status, b"")
    for status in (200, 202):
        api.read_subscribed(status, b'{"async-response-id":"1#x"}')
    api.read_put(204, b"")


def test_presubscriptions_read_as_they_are_written() -> None:
    rules = (
        Presubscription(endpoint_type="Light", resource_paths=("/3303/*", "/3311/0/5850")),
        Presubscription(endpoint_name="018*"),
        Presubscription(),
    )
    request = api.put_rules_request(rules)
    assert orjson.loads(request.body or b"") == [
        {"endpoint-type": "Light", "resource-path": ["/3303/*", "/3311/0/5850"]},
        {"endpoint-name": "018*"},
        {},
    ]
    assert api.read_rules(200, request.body or b"") == rules


def test_observed_paths_come_one_a_line() -> None:
    assert api.read_observed(200, b"/3303/0/5700\r\n/3\n") == {"/3303/0/5700", "/3"}
    assert api.read_observed(404, b"") == frozenset()


@pytest.mark.parametrize(("tier", "told"), [("1", "1"), (0, "0"), (None, "")])
def test_an_account_has_an_id_and_a_tier(tier: Any, told: str) -> None:
    assert api.read_account(200, body({"id": "f" * 32, "tier": tier})) == api.Account("f" * 32, told)


def test_anything_of_the_account_can_be_read() -> None:
    assert api.read_state(200, b'{"data":[]}', "/v3/devices") == {"data": []}
    assert api.read_state(204, b"", "/v3/devices") is None
    with pytest.raises(ValueError, match="platform path"):
        api.state_request("/v3/../x", {})


READERS: list[Callable[[int, bytes], object]] = [
    api.read_channel,
    api.read_registered,
    api.read_registration,
    api.read_enrolled,
    api.read_deleted,
    api.read_rules,
    api.read_put,
    api.read_subscribed,
    api.read_unsubscribed,
    api.read_observed,
    api.read_account,
    lambda status, found: api.read_state(status, found, "/v3/devices"),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("status", "reason"), [(401, "key_refused"), (403, "key_refused"), (415, "platform_refused")]
)
def test_refusals_have_their_likely_cause(read: Callable[[int, bytes], object], status: int, reason: str) -> None:
    said = body({"object": "error", "code": status, "type": "t", "message": "not\x00 today"})
    with pytest.raises(PlatformRefused) as refused:
        read(status, said)
    assert (refused.value.reason, refused.value.upstream_status) == (reason, status)
    assert "not  today" in refused.value.detail or "not today" in refused.value.detail


@pytest.mark.parametrize(
    ("read", "status", "reason", "hint"),
    [
        (api.read_registered, 400, "callback_unverified", "reachable from the internet"),
        (api.read_enrolled, 400, "channel_kind", "another kind"),
        (api.read_put, 400, "rules_invalid", "too many"),
        (api.read_subscribed, 400, "not_observable", "path"),
        (api.read_subscribed, 404, "device_unknown", "no device"),
        (api.read_account, 404, "state_missing", "does not exist"),
    ],
)
def test_what_a_status_means_depends_on_the_call(
    read: Callable[[int, bytes], object], status: int, reason: str, hint: str
) -> None:
    with pytest.raises(PlatformRefused) as refused:
        read(status, b"RESOURCE_NOT_FOUND")
    assert (refused.value.reason, hint in refused.value.detail) == (reason, True)
    assert "RESOURCE_NOT_FOUND" in refused.value.detail


@pytest.mark.parametrize(
    ("read", "garbage"),
    [
        (api.read_channel, b"{}"),
        (api.read_channel, b"<html>"),
        (api.read_registration, b'{"url":7}'),
        (api.read_registration, b'{"url":"x","headers":[1]}'),
        (api.read_rules, b"{}"),
        (api.read_rules, b"[7]"),
        (api.read_rules, b'[{"resource-path":"x"}]'),
        (api.read_account, b'{"id":7}'),
    ],
)
def test_an_answer_that_is_none_may_be_asked_for_again(read: Callable[[int, bytes], object], garbage: bytes) -> None:
    with pytest.raises(PlatformUnavailable) as away:
        read(200, garbage)
    assert away.value.reason == "unreadable_answer"


@pytest.mark.parametrize("said", [b"", b"<html>long page</html>", b"[1]", b'{"message":7}', b"\xff\xfe"])
def test_other_error_texts_are_left_out(said: bytes) -> None:
    assert api.error_text(said) == ""


def test_two_refusals_are_made_here() -> None:
    assert api.device_away(EP).reason == "device_away"
    assert (api.other_kind("callback").reason, "callback" in api.other_kind("callback").detail) == (
        "channel_kind",
        True,
    )
