"""The MindSphere codec: samples in, exact notifications out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import MalformedDelivery
from subscriber.model import Delivery, Identity, Notification, Tenant
from subscriber.platforms.mindsphere import decode

SAMPLES = Path(__file__).parent.parent / "samples" / "mindsphere"
ASSET = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
MOTOR_HEALTH = "acmeop.MotorHealth"
MOTOR = "9d2f6c1ab34e4f70a1c2d3e4f5a6b7c8"


def delivered(body: bytes, **headers: str) -> list[Notification]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return decode(Delivery(platform="mindsphere", headers=names, body=body, received_at=NOW))


def sample(name: str, **headers: str) -> Notification:
    (notification,) = delivered((SAMPLES / name).read_bytes(), **headers)
    return notification


def asset(**changes: Any) -> dict[str, Any]:
    return {"id": MOTOR, "action": "UPDATE", "timestamp": "2026-03-02T10:15:30.250Z"} | changes


def message(topic: Any = ASSET, tenants: Any = ("custaa",), **content: Any) -> bytes:
    return json.dumps({"header": {"topic": topic, "tenantContext": list(tenants)}} | content).encode()


@pytest.mark.parametrize(
    ("name", "tenant", "source", "action", "occurred_at", "identity"),
    [
        ("asset_update.json", "custaa", MOTOR, "UPDATE", "2026-03-02T10:15:30.250", Identity.TIMED),
        (
            "aspect_type_create.json",
            "acmeop",
            "acmeop.MotorHealth",
            "CREATE",
            "2026-03-02T10:16:00.001",
            Identity.TIMED,
        ),
        ("asset_type_create.json", "acmeop", "acmeop.Motor", "CREATE", "2026-03-02T10:16:01.777", Identity.TIMED),
        ("events_two_assets.json", "custbb", "", "", "2026-03-02T10:14:59.500", Identity.CONTENT),
        ("event_one.json", "custaa", MOTOR, "", "2026-03-02T10:14:20.125", Identity.CONTENT),
        ("timeseries_window.json", "custaa", MOTOR, "", "2026-03-02T10:16:04", Identity.TIMED),
        ("provisioned.json", "acmeop", "custcc", "PROVISIONED", "2026-03-02T10:20:00", Identity.TIMED),
    ],
)
def test_a_sample_becomes_exactly_this_notification(
    name: str, tenant: str, source: str, action: str, occurred_at: str, identity: Identity
) -> None:
    body = (SAMPLES / name).read_bytes()
    notification = sample(name)
    assert notification.tenant == Tenant("mindsphere", tenant)
    assert notification.topic == json.loads(body)["header"]["topic"]
    assert (notification.source, notification.action, notification.channel) == (source, action, "")
    assert notification.occurred_at == datetime.fromisoformat(occurred_at).replace(tzinfo=UTC)
    assert (notification.identity, notification.received_at, notification.body) == (identity, NOW, body)
    assert notification.payload == json.loads(body)


def test_topic_and_tenants_may_come_as_http_headers_and_mean_the_same() -> None:
    whole = (SAMPLES / "asset_update.json").read_bytes()
    document = json.loads(whole)
    header = document.pop("header")
    (in_headers,) = delivered(
        json.dumps(document).encode(), x_mdsp_topic=header["topic"], x_mdsp_tenant_context="custaa"
    )
    assert in_headers.key == sample("asset_update.json").key
    assert in_headers.tenant == Tenant("mindsphere", "custaa")


def test_the_key_ignores_order_of_members_blanks_and_the_tenant_context() -> None:
    plain = delivered(message(asset=asset()))
    spaced = delivered(json.dumps(json.loads(message(asset=dict(reversed(asset().items())))), indent=3).encode())
    other = delivered(message(tenants=["custbb"], asset=asset()))
    assert plain[0].key == spaced[0].key == other[0].key


@pytest.mark.parametrize("change", [{"action": "DELETE"}, {"id": "x"}, {"timestamp": "2026-03-02T10:15:30.251Z"}])
def test_another_content_is_another_key(change: dict[str, str]) -> None:
    assert delivered(message(asset=asset()))[0].key != delivered(message(asset=asset(**change)))[0].key


def test_the_same_content_on_another_topic_is_another_key() -> None:
    assert (
        delivered(message(asset=asset()))[0].key != delivered(message("mdsp.a.b.v1.pubsub.c", asset=asset()))[0].key
    )


def test_keys_sort_by_the_time_they_carry() -> None:
    times = ["2026-03-02T10:15:30.250Z", "2026-03-02T10:15:30.251Z", "2026-03-03T00:00:00Z", "2027-01-01T00:00:00Z"]
    keys = [delivered(message(asset=asset(timestamp=time)))[0].key for time in times]
    assert keys == sorted(keys)


def test_a_change_without_a_usable_time_is_known_by_its_content() -> None:
    for timestamp in (None, "", "yesterday", 5, "1969-12-31T23:59:59Z"):
        (notification,) = delivered(message(asset=asset(timestamp=timestamp)))
        assert notification.identity is Identity.CONTENT
    assert delivered(message(asset=asset(timestamp="yesterday")))[0].occurred_at is None


def test_a_message_id_is_the_identity_where_the_platform_sends_one() -> None:
    first = sample("asset_update.json", x_mdsp_message_id="m-1")
    again = sample("asset_update.json", x_mdsp_message_id="m-1")
    other = sample("event_one.json", x_mdsp_message_id="m-1")
    assert first.identity is Identity.ID
    assert (first.key, first.content) == (again.key, again.content)
    assert first.key == other.key and first.content != other.content


def test_each_tenant_of_the_context_gets_its_own_notification_once() -> None:
    got = delivered(message(tenants=["custaa", "custbb", "custaa"], asset=asset()))
    assert [notification.tenant.name for notification in got] == ["custaa", "custbb"]


def test_an_unknown_topic_with_unknown_members_is_accepted() -> None:
    (got,) = delivered(message("mdsp.core.future.v9.pubsub.thing", thing={"a": 1}, extra=[1, 2]))
    assert (got.topic, got.source, got.identity) == ("mdsp.core.future.v9.pubsub.thing", "", Identity.CONTENT)


def test_times_in_other_zones_and_finer_than_milliseconds_are_brought_to_one_form() -> None:
    (got,) = delivered(message(asset=asset(timestamp="2026-03-02T12:15:30.250999+02:00")))
    assert got.occurred_at == datetime(2026, 3, 2, 10, 15, 30, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b"[]", "json"),
        (b"null", "json"),
        (b"\xff\xfe", "json"),
        (b"\xef\xbb\xbf{}", "json"),
        (b'{"header":{"topic":"t","tenantContext":["custaa"]},"x":NaN}', "json"),
        (b'{"header":{"topic":"t","tenantContext":["custaa"]},"x":"\\ud800"}', "json"),
        (b'{"header":{"topic":"t","tenantContext":["custaa"]},"x":"\\u0000"}', "nul"),
        (b'{"header":{"topic":"t","tenantContext":["custaa"]},"a\\u0000":1}', "nul"),
        (b"[" * 100_000, "json"),
        (b'{"header":{"topic":"t","tenantContext":["custaa"]},"x":' + b"[" * 300 + b"]" * 300 + b"}", "json"),
        (message(topic=None, asset=asset()), "topic"),
        (message(topic="", asset=asset()), "topic"),
        (message(topic="t" * 256, asset=asset()), "topic"),
        (message(topic="a\nb", asset=asset()), "topic"),
        (message(tenants=[], asset=asset()), "tenant_context"),
        (message(tenants=["custaa", 7], asset=asset()), "tenant_context"),
        (message(tenants=["cust/aa"], asset=asset()), "tenant_context"),
        (message(tenants=[f"t{n}" for n in range(101)], asset=asset()), "tenant_context"),
        (b'{"asset":{}}', "tenant_context"),
        (message(asset=asset(id="i" * 256)), "name"),
    ],
)
def test_what_cannot_be_read_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedDelivery) as caught:
        delivered(body)
    assert caught.value.reason == reason


def test_an_unreadable_payload_still_names_its_tenants() -> None:
    with pytest.raises(MalformedDelivery) as caught:
        delivered(message(tenants=["custaa", "custbb"], asset=asset(id="i" * 256)))
    assert caught.value.tenants == ("custaa", "custbb")


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    (got,) = delivered(b'{"header":{"topic":"t","tenantContext":["custaa"]},"x":"\\\\u0000"}')
    assert got.payload["x"] == "\\u0000"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    ["header", "topic", "tenantContext", "asset", "events", "timeseries", "id", "timestamp", "to"]
)
DOCUMENTS = st.dictionaries(MEMBERS, JSON | st.dictionaries(MEMBERS, JSON, max_size=4), max_size=5)


@given(body=st.binary() | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_any_body_is_read_or_malformed_never_another_error(body: bytes) -> None:
    try:
        got = delivered(body, x_mdsp_topic="t", x_mdsp_tenant_context="custaa")
    except MalformedDelivery:
        return
    assert got and all(notification.key for notification in got)
