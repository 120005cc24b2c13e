"""What frames become."""

from __future__ import annotations

from datetime import UTC, datetime

from subscriber.channels import Place
from subscriber.channels.frames import Frames
from subscriber.model import CUMULOCITY, Tenant
from tests.channels.small_cumulocity import TENANT, timed, untimed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLACE = Place(Tenant(CUMULOCITY, TENANT), "cold", "worker")


def wire(*texts: str, connection: int = 1) -> list[bytes]:
    """As they come over one connection, each under a name of its own."""
    return [f"CPu{connection}/{number}==\n{text}".encode() for number, text in enumerate(texts)]


def test_frames_become_notifications_and_the_texts_that_acknowledge_them() -> None:
    reading = Frames(PLACE, b"").read(wire(timed(1), timed(2)), NOW)
    assert [notification.payload["id"] for notification in reading.notifications] == ["1", "2"]
    assert {notification.received_at for notification in reading.notifications} == {NOW}
    assert reading.acknowledgements == [b"CPu1/0==", b"CPu1/1=="]
    assert not reading.dead_letters


def test_frames_with_a_time_leave_nothing_to_remember() -> None:
    assert Frames(PLACE, b"").read(wire(timed(1)), NOW).facts == ()


def test_equal_frames_without_a_time_are_as_many_facts() -> None:
    reading = Frames(PLACE, b"").read(wire(untimed("a"), untimed("b"), untimed("a")), NOW)
    assert len({notification.key for notification in reading.notifications}) == 3


def test_what_is_remembered_goes_along_with_the_notifications() -> None:
    (fact,) = Frames(PLACE, b"").read(wire(untimed("a")), NOW).facts
    assert (fact.tenant, fact.channel, fact.name) == PLACE
    again = Frames(PLACE, fact.value)
    again.connected()
    reading = again.read(wire(untimed("a"), connection=2), NOW)
    assert reading.notifications == []
    assert reading.acknowledgements == [b"CPu2/0=="]


def test_without_a_new_connection_an_equal_frame_is_a_new_fact() -> None:
    frames = Frames(PLACE, b"")
    first, second = (frames.read(wire(untimed("a")), NOW).notifications for _ in range(2))
    assert first[0].key != second[0].key


def test_a_frame_that_cannot_be_read_is_kept_and_acknowledged() -> None:
    reading = Frames(PLACE, b"").read(wire("nothing more"), NOW)
    (letter,) = reading.dead_letters
    assert (letter.tenant, letter.reason, letter.body) == (PLACE.tenant, "frame", b"CPu1/0==\nnothing more")
    assert reading.acknowledgements == [b"CPu1/0=="]


def test_an_unreadable_frame_that_comes_again_is_the_same_dead_letter() -> None:
    frames = Frames(PLACE, b"")
    first, second = (frames.read(wire("nothing more", connection=n), NOW).dead_letters for n in (1, 2))
    assert first[0].digest == second[0].digest


def test_bytes_that_are_no_text_are_kept_as_they_came() -> None:
    raw = f"CPu==\n/{TENANT}/alarms/1\nCREATE\n\n".encode() + b'{"a":"\xff"}'
    reading = Frames(PLACE, b"").read([raw, b"\xfe\xff\nx"], NOW)
    assert [letter.body for letter in reading.dead_letters] == [raw, b"\xfe\xff\nx"]
    assert reading.acknowledgements == [b"CPu==", b"\xfe\xff"]


def test_a_frame_whose_first_line_has_no_end_is_kept_and_cannot_be_acknowledged() -> None:
    reading = Frames(PLACE, b"").read([b"x" * 5000], NOW)
    assert len(reading.dead_letters) == 1
    assert reading.acknowledgements == []


def test_another_tenants_frame_is_no_notification() -> None:
    foreign = timed(1).replace(TENANT, "t999")
    assert [letter.reason for letter in Frames(PLACE, b"").read(wire(foreign), NOW).dead_letters] == ["tenant"]
