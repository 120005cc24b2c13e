"""Messages in, exact notifications out."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.model import Identity, Notification, Tenant
from subscriber.platforms.pelion import batches
from subscriber.platforms.pelion.batches import Batch, Messages, read_batch
from subscriber.platforms.pelion.resends import Last
from tests.platforms.pelion.samples import CELLAR, GATE, message, value

NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
MILLIS = 1_772_619_330_000
CATEGORIES = [
    "notifications",
    "registrations",
    "reg-updates",
    "de-registrations",
    "registrations-expired",
    "async-responses",
]


def batch(text: bytes, channel: str = "cellar") -> Batch:
    return read_batch(channel, text, NOW)


def notifications(text: bytes, number: int = 1) -> list[Notification]:
    found = batch(text)
    assert found.dead_letters == []
    return found.notifications(number)


def keys(text: bytes, number: int = 1) -> list[bytes]:
    return [notification.key for notification in notifications(text, number)]


def test_a_value_becomes_exactly_this_notification() -> None:
    item = b'{"ep":"0189", "path":"/3303/0/5700","payload":"MjEuNQ==","timestamp":1772619330000 }'
    (found,) = notifications(b'{"notifications":[ ' + item + b" ]}")
    assert (found.tenant, found.channel, found.topic) == (Tenant("pelion", "cellar"), "cellar", "notifications")
    assert (found.source, found.action, found.body) == ("0189", "", item)
    assert found.occurred_at == datetime(2026, 3, 4, 10, 15, 30, tzinfo=UTC)
    assert (found.received_at, found.identity) == (NOW, Identity.TIMED)


def test_all_six_arrays_in_one_message_are_notifications_in_their_order() -> None:
    text = message(
        registrations=[{"ep": CELLAR, "original-ep": "cellar-07", "resources": [{"path": "/3/0/0", "obs": False}]}],
        notifications=[value(), value(path="/3303/0", payload="5BZEMjEuNQ==")],
        reg_updates=[{"ep": CELLAR, "ept": "thermo"}],
        de_registrations=[GATE, {"ep": CELLAR, "uid": "u-1"}],
        registrations_expired=[GATE],
        async_responses=[{"id": "r-1", "status": 504, "error": "TIMEOUT"}],
    )
    found = notifications(text)
    assert [one.topic for one in found] == [
        "registrations",
        "notifications",
        "notifications",
        "reg-updates",
        "de-registrations",
        "de-registrations",
        "registrations-expired",
        "async-responses",
    ]
    assert [one.source for one in found] == [CELLAR, CELLAR, CELLAR, CELLAR, GATE, CELLAR, GATE, ""]
    assert found[4].body == json.dumps(GATE).encode() and found[4].payload == GATE
    assert len({one.key for one in found}) == 8


def test_an_array_nobody_knows_is_a_category_like_any_other() -> None:
    (found,) = notifications(message(device_deletions=[GATE]))
    assert (found.topic, found.source) == ("device-deletions", GATE)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"notifications":[]}', b'{"notifications":null}'])
def test_a_message_without_items_holds_nothing(text: bytes) -> None:
    assert batch(text).holds_nothing


def test_a_bad_item_is_set_aside_and_takes_nothing_along() -> None:
    found = batch(b'{"notifications":[' + b'{"ep":"a","path":"/1"},{"path":"/1"},{oops},{"ep":"b","path":"/1"}]}')
    assert [one.source for one in found.notifications(1)] == ["a", "b"]
    assert [(letter.reason, letter.body) for letter in found.dead_letters] == [
        ("item", b'{"path":"/1"}'),
        ("json", b"{oops}"),
    ]
    assert found.dead_letters[0].detail == "notifications: the item lacks ep"
    assert {letter.tenant for letter in found.dead_letters} == {Tenant("pelion", "cellar")}


def test_the_same_bad_item_is_the_same_dead_letter_and_another_category_s_is_not() -> None:
    text = message(notifications=[{"path": "/1"}, {"path": "/1"}], registrations=[{"path": "/1"}])
    digests = Counter(letter.digest for letter in batch(text).dead_letters)
    assert sorted(digests.values()) == [1, 2]


@pytest.mark.parametrize("text", [b"not json", b"[1]", b'{"notifications":[{"ep":"a","path":"/1"}'])
def test_a_message_that_is_no_json_is_kept_whole(text: bytes) -> None:
    (letter,) = batch(text).dead_letters
    assert (letter.reason, letter.body) == ("json", text)


def test_what_came_before_a_message_broke_counts() -> None:
    found = batch(b'{"notifications":[{"ep":"a","path":"/1"},')
    assert [one.source for one in found.notifications(1)] == ["a"] and len(found.dead_letters) == 1


def test_a_member_that_is_no_array_is_set_aside() -> None:
    (letter,) = batch(b'{"notifications":{"ep":"a"}}').dead_letters
    assert (letter.reason, letter.body) == ("category", b'{"ep":"a"}')


@pytest.mark.parametrize("name", ["", "a\\nb", "x" * 300])
def test_a_category_that_no_column_takes_is_set_aside(name: str) -> None:
    (letter,) = batch(f'{{"{name}":["d"]}}'.encode()).dead_letters
    assert letter.reason == "topic" and len(letter.detail) < 120


def test_more_items_than_any_message_has_are_kept_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ITEMS", 3)
    found = batch(message(de_registrations=["a", "b", "c", "d", "e"]))
    assert len(found.notifications(1)) == 3
    assert [letter.reason for letter in found.dead_letters] == ["too_many"]


def test_a_uid_is_the_key_whatever_else_changes() -> None:
    one, same = (message(notifications=[value(uid="u", timestamp=MILLIS + n, payload=str(n))]) for n in (0, 1))
    (first,), (second,) = notifications(one, 1), notifications(same, 2)
    assert first.key == second.key and first.content != second.content and first.identity is Identity.ID


def test_an_async_response_is_known_by_its_request() -> None:
    text = message(async_responses=[{"id": "r-1", "status": 200}])
    assert keys(text, 1) == keys(text, 2)


def test_equal_values_of_one_millisecond_are_as_many_facts_as_there_are() -> None:
    text = message(notifications=[value(timestamp=MILLIS), value(timestamp=str(MILLIS)), value(timestamp=MILLIS + 1)])
    assert len(set(keys(text))) == 3
    assert keys(text, 1) == keys(text, 2)
    assert all(key.startswith(MILLIS.to_bytes(6, "big")) for key in keys(text)[:2])


def test_without_id_and_time_the_delivery_and_the_place_in_it_are_the_identity() -> None:
    text = message(notifications=[value(), value()], de_registrations=[GATE])
    assert len({*keys(text, 1), *keys(text, 2)}) == 6
    assert keys(text, 1) == keys(text, 1)


def test_newer_items_behind_do_not_change_the_keys_of_a_callback_sent_again() -> None:
    first = message(notifications=[value(), value()], de_registrations=[GATE])
    recut = message(notifications=[value(), value(), value()], de_registrations=[GATE, CELLAR], reg_updates=[])
    assert set(keys(first, 4)) < set(keys(recut, 4))


def test_only_items_without_id_and_time_are_remembered() -> None:
    assert batch(message(notifications=[value(uid="u"), value(timestamp=1)])).marks == {}
    assert len(b"".join(batch(message(notifications=[value(), value(uid="u")])).marks.values())) == 8


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
ITEMS = st.fixed_dictionaries(
    {"ep": TEXTS, "path": TEXTS, "id": TEXTS},
    optional={
        "payload": st.none() | st.sampled_from(["", "MQ==", "Mg=="]),
        "uid": TEXTS,
        "timestamp": st.integers(1, 5) | st.sampled_from(["1", "x"]),
        "max-age": st.integers(0, 3) | st.just("60"),
    },
)
MESSAGES = st.dictionaries(st.sampled_from(CATEGORIES), st.lists(ITEMS, max_size=6))


@given(MESSAGES)
def test_every_item_comes_out_with_what_it_said(arrays: dict[str, list[dict[str, Any]]]) -> None:
    found = notifications(json.dumps(arrays).encode())
    assert [(one.topic, one.payload) for one in found] == [
        (category, item) for category, items in arrays.items() for item in items
    ]
    assert all(one.source == one.payload["ep"] for one in found)


@given(MESSAGES)
def test_the_same_message_again_has_the_same_keys(arrays: dict[str, list[dict[str, Any]]]) -> None:
    text = json.dumps(arrays).encode()
    later = read_batch("cellar", text, NOW + timedelta(minutes=1))
    assert keys(text, 7) == [one.key for one in later.notifications(7)]


@given(MESSAGES)
def test_only_an_id_makes_two_items_of_a_message_one(arrays: dict[str, list[dict[str, Any]]]) -> None:
    found = notifications(json.dumps(arrays).encode())
    local = [one.key for one in found if one.identity is not Identity.ID]
    assert len(set(local)) == len(local)


@given(MESSAGES, MESSAGES)
def test_what_has_neither_id_nor_time_is_never_the_same_in_two_deliveries(
    one: dict[str, list[dict[str, Any]]], other: dict[str, list[dict[str, Any]]]
) -> None:
    def untimed(arrays: dict[str, list[dict[str, Any]]], number: int) -> set[bytes]:
        bare = {
            category: [{name: item[name] for name in item if name not in ("uid", "timestamp")} for item in items]
            for category, items in arrays.items()
            if category != "async-responses"
        }
        return set(keys(json.dumps(bare).encode(), number))

    assert not untimed(one, 3) & untimed(other, 4)


@given(MESSAGES, MESSAGES)
def test_a_message_begins_with_what_it_was_before_more_was_added(
    arrays: dict[str, list[dict[str, Any]]], more: dict[str, list[dict[str, Any]]]
) -> None:
    together = {name: arrays.get(name, []) + more.get(name, []) for name in CATEGORIES}
    before, after = batch(json.dumps(arrays).encode()), batch(json.dumps(together).encode())
    assert Last(1, NOW, before.marks).begins(after.marks) == bool(before.marks)


@given(st.binary(max_size=100) | st.text('{}[]":, notifcaepath/\\0', max_size=80).map(str.encode))
def test_nothing_is_lost_of_any_bytes_whatever_they_are(text: bytes) -> None:
    found = batch(text)
    found.notifications(1)
    if found.holds_nothing:
        assert not any(json.loads(text.strip() or b"{}").values())


def test_messages_of_a_socket_are_never_taken_for_one_another() -> None:
    messages, text = Messages("cellar"), message(notifications=[value()])
    later = NOW + timedelta(milliseconds=5)
    found = [messages.read(text, at) for at in (NOW, NOW, NOW - timedelta(minutes=1), later)]
    assert len({one.key for reading in found for one in reading.notifications}) == 4
    assert Messages("cellar").read(text, later + timedelta(seconds=1)).notifications[0].key not in {
        one.key for reading in found for one in reading.notifications
    }


def test_items_of_a_socket_with_an_id_are_known_again() -> None:
    text = message(notifications=[value(uid="u")])
    first, again = (Messages("cellar").read(text, NOW + timedelta(seconds=n)).notifications for n in (0, 9))
    assert first[0].key == again[0].key


def test_a_socket_s_bad_item_is_set_aside() -> None:
    reading = Messages("cellar").read(b'{"notifications":[7]}', NOW)
    assert reading.notifications == [] and [letter.reason for letter in reading.dead_letters] == ["item"]
