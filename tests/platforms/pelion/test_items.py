"""What one item says, and by what it is known again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import MalformedDelivery
from subscriber.platforms.pelion.items import Item, read_item
from tests.platforms.pelion.samples import CELLAR, GATE, value

MILLIS = 1_772_619_330_000
MOMENT = datetime(2026, 3, 4, 10, 15, 30, tzinfo=UTC)


def item(content: Any, category: str = "notifications") -> Item:
    return read_item(category, json.dumps(content).encode())


def reason(content: Any, category: str = "notifications") -> str:
    with pytest.raises(MalformedDelivery) as caught:
        item(content, category)
    return caught.value.reason


@pytest.mark.parametrize("timestamp", [MILLIS, str(MILLIS)])
def test_a_time_is_a_number_or_its_text(timestamp: object) -> None:
    found = item(value(timestamp=timestamp))
    assert (found.source, found.occurred_at, found.millis) == (CELLAR, MOMENT, MILLIS)
    assert found.digest == item(value()).digest  # the time is no part of the content


@pytest.mark.parametrize("timestamp", [None, 0, -1, True, 1.5, "", "-5", "soon", "１７", "9" * 30, 2**80, [], 10**15])
def test_what_is_no_usable_time_is_none(timestamp: object) -> None:
    found = item({**value(), "timestamp": timestamp})
    assert (found.occurred_at, found.millis) == (None, 0)


def test_a_uid_is_the_id_of_an_item_within_its_category() -> None:
    one, same = item(value(uid="u-1", timestamp=MILLIS)), item(value(uid="u-1", timestamp=MILLIS + 1, payload="Mg=="))
    assert one.id and one.id == same.id and one.digest != same.digest
    assert item({"ep": CELLAR, "uid": "u-1"}, "registrations").id != one.id
    assert not item(value(uid="")).id and not item(value(uid=7)).id


def test_an_async_response_is_known_by_the_request_it_answers() -> None:
    answer = {"id": "r-1", "status": 200, "payload": "b3Blbg==", "ct": "text/plain"}
    assert item(answer, "async-responses").id == item({**answer, "status": 504}, "async-responses").id
    assert item({**answer, "id": "r-2"}, "async-responses").id != item(answer, "async-responses").id
    assert item({**answer, "uid": "u"}, "async-responses").id != item(answer, "async-responses").id
    assert item(answer, "async-responses").source == ""


@pytest.mark.parametrize("changes", [{"max-age": "60"}, {"original-ep": "cellar-07"}, {"timestamp": str(MILLIS)}])
def test_what_is_not_the_fact_does_not_change_a_value_s_content(changes: dict[str, Any]) -> None:
    assert item(value(**changes)).digest == item(value()).digest


@pytest.mark.parametrize("changes", [{"ep": GATE}, {"path": "/3303/0"}, {"ct": None}, {"payload": ""}])
def test_the_fact_does(changes: dict[str, Any]) -> None:
    assert item(value(**changes)).digest != item(value()).digest


def test_a_registration_is_all_it_says() -> None:
    one = {"ep": CELLAR, "ept": "thermo", "resources": [{"path": "/3/0/0", "obs": False}]}
    changed = {**one, "resources": []}
    assert item(one, "registrations").digest != item(changed, "registrations").digest
    assert item(one, "registrations").digest != item(one, "reg-updates").digest


@pytest.mark.parametrize("category", ["de-registrations", "registrations-expired", "device-deletions"])
@pytest.mark.parametrize("content", [GATE, {"ep": GATE}])
def test_a_device_is_named_by_its_id_alone_or_in_an_object(category: str, content: object) -> None:
    assert item(content, category).source == GATE


@pytest.mark.parametrize(
    ("content", "category", "wanted"),
    [
        (value(ep=None), "notifications", "item"),
        (value(ep=""), "notifications", "item"),
        (value(ep=7), "notifications", "item"),
        (value(path=None), "notifications", "item"),
        ({"status": 200}, "async-responses", "item"),
        ({"ept": "x"}, "registrations", "item"),
        ({}, "de-registrations", "item"),
        ("bare", "registrations", "item"),
        ("", "de-registrations", "item"),
        (7, "notifications", "item"),
        ([], "reg-updates", "item"),
        (value(ep="e" * 256), "notifications", "name"),
        ("e" * 256, "de-registrations", "name"),
        (value(payload="\0"), "notifications", "nul"),
    ],
)
def test_what_cannot_be_read_says_why(content: Any, category: str, wanted: str) -> None:
    assert reason(content, category) == wanted


@pytest.mark.parametrize("text", [b"{broken", b'{"ep":"\\ud800"}', b"\xff", b"nul"])
def test_what_is_no_json_says_so(text: bytes) -> None:
    with pytest.raises(MalformedDelivery) as caught:
        read_item("notifications", text)
    assert caught.value.reason == "json"


@pytest.mark.parametrize("content", [7, None, [1], {"anything": 1}, {"ep": 5}])
def test_items_of_arrays_nobody_knows_may_be_anything(content: object) -> None:
    assert item(content, "twin-changes").source == ""


@given(st.binary(max_size=80), st.sampled_from(["notifications", "registrations", "de-registrations", "new"]))
def test_any_bytes_are_read_or_malformed(text: bytes, category: str) -> None:
    try:
        read_item(category, text)
    except MalformedDelivery:
        pass
