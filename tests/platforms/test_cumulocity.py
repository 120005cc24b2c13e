"""The codec of Notification 2.0: frames in, exact notifications out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import MalformedDelivery
from subscriber.model import Identity, Notification, Tenant
from subscriber.platforms import cumulocity
from subscriber.platforms.cumulocity import Frame, acknowledgement

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
ACK = "CLr4ARAHIAAwAQ=="


def frame(
    body: Any = None,
    *,
    description: str = "/t2700/alarms/8101",
    action: str = "CREATE",
    more: tuple[str, ...] = (),
    ack: str = ACK,
    end: str = "\n",
) -> str:
    body = {"id": "31", "time": "2026-03-02T10:29:58.500Z"} if body is None else body
    text = body if isinstance(body, str) else json.dumps(body)
    return end.join([ack, description, action, *more, "", ""]) + text


def wire(text: str) -> bytes:
    """Lone surrogates stand for what is no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def decoded(text: str, channel: str = "coldStore") -> Frame:
    return cumulocity.decode(wire(text), "t2700", channel, NOW)


def notification(text: str, channel: str = "coldStore") -> Notification:
    return decoded(text, channel).notification


def test_an_alarm_becomes_exactly_this_notification() -> None:
    body = '{"id":"31","time":"2026-03-02T10:29:58.500Z","lastUpdated":"2026-03-02T10:29:59.250Z"}'
    found = notification(frame(body, action="UPDATE"))
    assert (found.tenant, found.topic, found.channel) == (Tenant("cumulocity", "t2700"), "alarms", "coldStore")
    assert (found.source, found.action, found.identity) == ("8101", "UPDATE", Identity.TIMED)
    assert found.occurred_at == datetime(2026, 3, 2, 10, 29, 59, 250_000, tzinfo=UTC)
    assert (found.body, found.received_at) == (body.encode(), NOW)


def test_the_time_of_the_fact_stands_in_where_nothing_says_when_it_changed() -> None:
    assert notification(frame()).occurred_at == datetime(2026, 3, 2, 10, 29, 58, 500_000, tzinfo=UTC)
    assert notification(frame({"id": "1"})).occurred_at is None


@pytest.mark.parametrize(
    ("kind", "topic"),
    [
        ("alarms", "alarms"),
        ("alarmsWithChildren", "alarms"),
        ("eventsWithChildren", "events"),
        ("managedobjects", "managedobjects"),
        ("measurements", "measurements"),
        ("operations", "operations"),
        ("somethingNew", "somethingNew"),
        ("WithChildren", "WithChildren"),
    ],
)
def test_the_topic_is_the_api_word_without_its_scope(kind: str, topic: str) -> None:
    assert notification(frame(description=f"/t2700/{kind}/8101")).topic == topic


def test_the_same_alarm_for_the_device_and_for_its_parents_is_one_notification() -> None:
    own, inherited = (
        notification(frame(description=f"/t2700/{kind}/8101")) for kind in ("alarms", "alarmsWithChildren")
    )
    assert own.key == inherited.key


def test_what_two_subscriptions_send_are_two_notifications() -> None:
    assert notification(frame(), "one").key != notification(frame(), "two").key


@pytest.mark.parametrize(
    "changed",
    [
        frame(description="/t2700/alarms/8102"),
        frame(description="/t2700/events/8101"),
        frame(action="UPDATE"),
        frame({"id": "32", "time": "2026-03-02T10:29:58.500Z"}),
        frame({"id": "31", "time": "2026-03-02T10:29:58.501Z"}),
    ],
)
def test_another_fact_has_another_key(changed: str) -> None:
    assert notification(changed).key != notification(frame()).key


def test_a_redelivery_has_the_same_key_under_another_acknowledgement() -> None:
    again = frame(ack="CLr4ARAJIAAwAQ==", more=("x-attempt: 2",))
    assert notification(again).key == notification(frame()).key


@pytest.mark.parametrize("member", ["lastUpdated", "time", "count"])
def test_a_body_that_changes_with_each_fact_is_its_own_identity(member: str) -> None:
    value = 3 if member == "count" else "2026-03-02T10:29:58Z"
    assert not decoded(frame({"id": "1", member: value})).untimed


@pytest.mark.parametrize("body", [{"id": "1"}, {"id": "1", "time": None}, [], "7", '"text"', "null"])
def test_any_other_body_is_untimed(body: Any) -> None:
    assert decoded(frame(body)).untimed


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
def test_only_lf_ends_a_line(separator: str) -> None:
    body = json.dumps({"text": f"one{separator}two", "time": "2026-03-02T10:29:58Z"}, ensure_ascii=False)
    assert notification(frame(body)).body == body.encode()


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r", "\x00"])
def test_other_separators_in_the_header_are_no_line_ends_and_not_printable(separator: str) -> None:
    with pytest.raises(MalformedDelivery):
        decoded(frame(action=f"CRE{separator}ATE"))


def test_a_body_of_several_lines_with_empty_ones_is_kept_whole() -> None:
    body = '{\n"id": "1",\n\n"time": "2026-03-02T10:29:58Z"\n}\n'
    assert notification(frame(body)).body == body.encode()


def test_header_lines_may_end_with_crlf() -> None:
    found = notification(frame(end="\r\n"))
    assert (found.action, found.source, found.key) == ("CREATE", "8101", notification(frame()).key)


def test_header_lines_that_nobody_knows_are_skipped() -> None:
    assert notification(frame(more=("future: header", "another"))).action == "CREATE"


def test_an_unknown_action_is_kept() -> None:
    assert notification(frame(action="ARCHIVE")).action == "ARCHIVE"


def test_a_header_too_long_to_be_kept_in_mind_is_read_all_the_same() -> None:
    long = frame(more=("x" * 2 * cumulocity.KEPT_BYTES,))
    assert notification(long).key == notification(frame()).key


def test_a_source_may_be_missing() -> None:
    assert notification(frame(description="/t2700/alarms/")).source == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "frame"),
        (ACK, "frame"),
        (f"{ACK}\n/t2700/alarms/1\nCREATE\n", "frame"),
        (f"{ACK}\n/t2700/alarms/1\n\n{{}}", "frame"),
        (f"{ACK}\nAAEC/w==", "frame"),
        (frame(description="/t2700/alarms"), "description"),
        (frame(description="t2700/alarms/1"), "description"),
        (frame(description="//alarms/1"), "description"),
        (frame(description="/t9999/alarms/1"), "tenant"),
        (frame(description="/t2700/alarms/1\x00"), "frame"),
        (frame(description="/t2700/alarms/" + "1" * 256), "name"),
        (frame(action="A" * 256), "name"),
        (frame("not JSON"), "json"),
        (frame('{"a":"\\u0000"}'), "nul"),
        (frame('"\ud800"'), "json"),
        (frame(action="\ud800"), "frame"),
        (frame(ack="\ud800"), "frame"),
        (frame(ack="\x07"), "frame"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(MalformedDelivery) as caught:
        decoded(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (frame(), ACK),
        (frame(end="\r\n"), ACK),
        (f"{ACK}\nAAEC/w==", ACK),
        (ACK, ACK),
        ("", ""),
        ("x" * 2000, ""),
    ],
)
def test_the_acknowledgement_is_the_first_line_whatever_follows(text: str, expected: str) -> None:
    assert acknowledgement(wire(text)) == wire(expected)


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_read_or_malformed(text: str) -> None:
    acknowledgement(wire(text))
    try:
        decoded(text)
    except MalformedDelivery:
        pass


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_header_before_a_body_is_read_or_malformed(head: str, body: str) -> None:
    try:
        decoded(f"{ACK}\n{head}\n\n{body}")
    except MalformedDelivery:
        pass
