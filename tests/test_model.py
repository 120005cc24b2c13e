"""The values everything else speaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.model import Delivery, Identity, Notification, Tenant, from_millis, to_millis, with_repeat

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)


def notification(body: bytes | None = b'{"a":1}') -> Notification:
    return Notification(
        tenant=Tenant("mindsphere", "custaa"),
        key=b"\x01\xff",
        identity=Identity.TIMED,
        topic="t",
        received_at=NOW,
        body=body,
    )


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_milliseconds_survive_the_way_there_and_back(millis: int) -> None:
    assert to_millis(from_millis(millis)) == millis


def test_milliseconds_do_not_depend_on_the_zone() -> None:
    assert to_millis(NOW) == to_millis(NOW.astimezone(timezone(timedelta(hours=9))))


def test_a_bare_tenant_name_is_a_mindsphere_tenant() -> None:
    assert Tenant.parse("custaa") == Tenant.parse("mindsphere/custaa") == Tenant("mindsphere", "custaa")
    assert str(Tenant.parse("cumulocity/t1")) == "cumulocity/t1"


def test_the_id_of_a_notification_names_platform_tenant_and_key() -> None:
    assert notification().id == "mindsphere.custaa.01ff"


def test_the_payload_is_the_parsed_body_until_it_is_pruned() -> None:
    assert notification().payload == {"a": 1}
    assert notification(body=None).payload is None


def test_repeats_of_one_content_share_a_stem_and_sort_by_number() -> None:
    keys = [with_repeat(b"stem", number) for number in (0, 1, 2, 255, 256, 70_000)]
    assert keys == sorted(keys) and all(key.startswith(b"stem") for key in keys)


def test_neither_headers_nor_bodies_show_in_a_repr() -> None:
    delivery = Delivery(platform="mindsphere", headers={"authorization": "canary"}, body=b"canary", received_at=NOW)
    assert "canary" not in repr(delivery) and "canary" not in repr(notification(b'"canary"'))


@pytest.mark.parametrize("name", ["key", "tenant", "body"])
def test_a_notification_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(notification(), name, None)
