"""An answer as it arrives."""

from __future__ import annotations

from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.turns import MAX_ANSWER_BYTES, MAX_ANSWER_LINES, Answer
from tests.platforms.smartrest.conversing import connected, realtime


def test_heartbeats_before_the_first_row_are_nothing() -> None:
    answer = Answer()
    for piece in (b" ", b"  ", b""):
        assert answer.receive(piece)
        assert answer.quiet
    answer.receive(b' 500," a"')
    assert (answer.quiet, answer.body) == (False, b'500," a"')


def test_white_space_within_an_answer_stays() -> None:
    answer = Answer()
    for piece in (b"  500,", b" ", b"a"):
        answer.receive(piece)
    assert answer.body == b"500, a"


def test_an_answer_has_an_end_in_bytes_and_in_lines() -> None:
    long, many = Answer(), Answer()
    assert long.receive(b"x" * MAX_ANSWER_BYTES) and not long.receive(b"x")
    assert many.receive(b"\n" * MAX_ANSWER_LINES) and not many.receive(b"\n")
    assert not long.receive(b"x") and len(long.body) == MAX_ANSWER_BYTES


def test_neither_a_request_nor_a_turn_shows_what_is_in_it() -> None:
    session = connected()
    assert "3k9x0q7w" not in repr(session.request())
    assert "77120" not in repr(Session(realtime()).request())
