"""Rows in, exact notifications out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.model import Identity, Notification, Tenant
from subscriber.platforms.smartrest import messages, records
from subscriber.platforms.smartrest.messages import Row
from subscriber.platforms.smartrest.realtime import Realtime, Template
from subscriber.platforms.smartrest.records import Broken
from subscriber.platforms.smartrest.rows import Batch, Rows
from tests.platforms.smartrest.conversing import X_ID, realtime

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ALARM = Template(
    x_id=X_ID,
    id="600",
    columns=("id", "device", "status", "changed", "action", "text"),
    topic="alarms",
    source="device",
    action="action",
    time="changed",
    key=("id", "status", "changed"),
)
OPERATION = Template(x_id=X_ID, id="501", columns=("id", "device", "text"), key=("id",))
UNKEYED = Template(x_id=X_ID, id="700", columns=("state",))
WANTED = realtime("/5010", templates=[ALARM, OPERATION, UNKEYED])
RAISED = ("600", "31", "5011", "ACTIVE", "2026-03-02T10:29:59.250Z", "CREATE", "too hot")


def read(
    *rows: Sequence[str], reader: Rows | None = None, x_id: str = X_ID, numbered: bool = False, at: datetime = NOW
) -> Batch:
    made = [Row(x_id, tuple(values)) for values in rows]
    return (reader or Rows(WANTED)).read(made, [], numbered=numbered, received_at=at)


def one(*values: str, numbered: bool = False, at: datetime = NOW, x_id: str = X_ID) -> Notification:
    (found,) = read(values, numbered=numbered, at=at, x_id=x_id).notifications
    return found


def test_an_alarm_s_row_becomes_exactly_this_notification() -> None:
    found = one(*RAISED)
    assert (found.tenant, found.topic, found.channel) == (Tenant("smartrest", "t402119"), "alarms", X_ID)
    assert (found.source, found.action, found.identity) == ("5011", "CREATE", Identity.ID)
    assert found.occurred_at == datetime(2026, 3, 2, 10, 29, 59, 250_000, tzinfo=UTC)
    assert (found.received_at, found.repeat) == (NOW, 0)
    assert found.payload == {
        "xId": X_ID,
        "row": list(RAISED),
        "values": {
            "id": "31",
            "device": "5011",
            "status": "ACTIVE",
            "changed": "2026-03-02T10:29:59.250Z",
            "action": "CREATE",
            "text": "too hot",
        },
    }


def test_what_the_template_does_not_say_is_that_of_the_channel() -> None:
    found = one("501", "60002", "5011", "reboot")
    assert (found.topic, found.source, found.action, found.occurred_at) == ("operations", "5010", "", None)


@pytest.mark.parametrize("numbered", [True, False])
def test_a_line_number_is_known_by_the_number_of_values_whatever_the_advice_said(numbered: bool) -> None:
    bare, counted = (one(*values, numbered=numbered) for values in (RAISED, ("600", "1", *RAISED[1:])))
    assert (bare.body, bare.key) == (counted.body, counted.key)


@pytest.mark.parametrize(("numbered", "row"), [(True, ["900", "5"]), (False, ["900", "1", "5"])])
def test_where_the_template_is_not_configured_the_form_of_the_advice_decides(numbered: bool, row: list[str]) -> None:
    found = one("900", "1", "5", numbered=numbered)
    assert found.payload == {"xId": X_ID, "row": row, "values": {}}
    assert (found.topic, found.source, found.identity) == ("operations", "5010", Identity.TIMED)


def test_a_value_that_is_no_number_is_no_line_number() -> None:
    assert one("900", "x", "5", numbered=True).payload["row"] == ["900", "x", "5"]


def test_the_same_fact_again_has_the_same_key_and_another_content_another_digest() -> None:
    again = one(*RAISED, at=NOW + timedelta(days=1))
    changed = one(*RAISED[:-1], "much too hot")
    assert again.key == one(*RAISED).key == changed.key
    assert again.content == one(*RAISED).content != changed.content


@pytest.mark.parametrize("place", [1, 3, 4])
def test_another_value_in_the_key_is_another_fact(place: int) -> None:
    values = list(RAISED)
    values[place] = "2026-03-02T11:00:00Z" if place == 4 else "other"
    assert one(*values).key != one(*RAISED).key


def test_two_templates_two_collections_and_two_conversations_are_never_the_same_fact() -> None:
    twin = Template(x_id=X_ID, id="502", columns=("id",), key=("id",))
    other = Template(x_id="b", id="502", columns=("id",), key=("id",))
    third = Template(x_id=X_ID, id="503", columns=("id",), key=("id",))
    first, second = (
        realtime("/5010", path=path, x_ids=("b",), templates=[twin, other, third])
        for path in ("/notification/operations", "/notification/realtime")
    )
    rows = [Row(X_ID, ("502", "7")), Row("b", ("502", "7")), Row(X_ID, ("503", "7"))]
    keys = {
        notification.key
        for wanted in (first, second)
        for notification in Rows(wanted).read(rows, [], numbered=False, received_at=NOW).notifications
    }
    assert len(keys) == 6


def test_keys_with_a_time_in_them_lie_together() -> None:
    early, late = (one(*RAISED[:4], f"2026-03-02T10:29:{second}Z", *RAISED[5:]).key for second in ("01", "59"))
    assert len(early) == len(late) == 22 and early[:4] == late[:4] and early < late
    assert len(one("501", "1", "2", "x").key) == 16


@pytest.mark.parametrize("empty", [1, 3, 4])
def test_a_row_whose_key_is_not_complete_is_a_fact_of_its_own(empty: int) -> None:
    values = [value if place != empty else "" for place, value in enumerate(RAISED)]
    batch = read(values, values)
    assert [found.identity for found in batch.notifications] == [Identity.TIMED] * 2
    assert len({found.key for found in batch.notifications}) == 2


def test_equal_rows_without_a_key_are_never_taken_for_each_other() -> None:
    reader = Rows(WANTED)
    keys = {found.key for _ in range(3) for found in read(["700", "ON"], ["700", "ON"], reader=reader).notifications}
    assert len(keys) == 6


def test_the_count_goes_on_after_a_restart() -> None:
    reader = Rows(WANTED)
    (before,) = read(["700", "ON"], reader=reader).notifications
    (after,) = read(["700", "ON"], reader=Rows(WANTED, reader.value)).notifications
    (anew,) = read(["700", "ON"], reader=Rows(WANTED)).notifications
    assert after.key != before.key == anew.key


def test_rows_that_are_known_by_their_key_do_not_count() -> None:
    reader = Rows(WANTED)
    read(RAISED, reader=reader)
    assert reader.value == Rows(WANTED).value


@pytest.mark.parametrize("value", [b"x", b"123456789"])
def test_a_strange_count_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="count"):
        Rows(WANTED, value)


def test_missing_and_surplus_values_do_no_harm() -> None:
    assert one("600", "31").payload["values"] == {"id": "31"}
    assert one(*RAISED, "x", "y").payload["row"] == [*RAISED, "x", "y"]


def test_a_time_that_cannot_be_read_is_none() -> None:
    assert one(*RAISED[:4], "yesterday", *RAISED[5:]).occurred_at is None


def test_a_name_too_long_for_its_column_makes_a_dead_letter_and_the_next_row_is_read() -> None:
    bad = ("600", "31", "5" * 300, *RAISED[3:])
    batch = read(bad, RAISED)
    (letter,) = batch.dead_letters
    assert len(batch.notifications) == 1
    assert (letter.tenant, letter.reason) == (Tenant("smartrest", "t402119"), "name")
    assert letter.body == records.write([bad])
    assert X_ID in letter.detail and "5" * 20 not in letter.detail


def test_unreadable_records_of_one_answer_are_one_dead_letter() -> None:
    broken = [Broken(b"\xff\0", "encoding"), Broken(b'a"b', "quoting")]
    letters = [Rows(WANTED).read([], broken, numbered=False, received_at=NOW).dead_letters[0] for _ in range(2)]
    assert (letters[0].reason, letters[0].body) == ("encoding", b'\xff\0\na"b')
    assert letters[0].digest == letters[1].digest
    assert "2 record(s)" in letters[0].detail


def test_channels_of_several_kinds_leave_the_topic_of_an_unknown_row_open() -> None:
    mixed = realtime("/alarms/1", "/events/2", path="/notification/realtime")
    (found,) = Rows(mixed).read([Row(X_ID, ("900", "x"))], [], numbered=False, received_at=NOW).notifications
    assert (found.topic, found.source) == ("unknown", "")


@given(st.binary(max_size=200), st.booleans())
def test_whatever_came_becomes_notifications_or_dead_letters(body: bytes, numbered: bool) -> None:
    wanted: Realtime = WANTED
    made = messages.contents(records.read(b"600,1,2\n" + body), X_ID)
    batch = Rows(wanted).read(made.rows, made.broken, numbered=numbered, received_at=NOW)
    assert len(batch.notifications) + len(batch.dead_letters) >= len(made.rows)
    for found in batch.notifications:
        assert json.loads(found.body or b"")["row"]
