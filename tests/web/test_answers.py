"""The one shape of an error answer."""

from __future__ import annotations

import json
import socket

from subscriber.web.answers import STRICT_HEADERS, closing_answer, error_document
from tests.web.serving import Answer, receive


def sent(answer: bytes) -> Answer:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(answer)
        return receive(theirs)


def test_an_error_names_its_reason_and_tells_a_detail() -> None:
    assert json.loads(error_document("too_large", "more than 5 bytes")) == {
        "error": {"reason": "too_large", "detail": "more than 5 bytes"}
    }


def test_a_closing_answer_is_a_whole_response() -> None:
    answer = sent(closing_answer(503, "overloaded", "come again", 2))
    assert (answer.status, answer.body) == (503, error_document("overloaded", "come again"))
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json"
    assert {name.lower() for name in STRICT_HEADERS} <= set(answer.headers)


def test_without_a_time_to_come_again_none_is_named() -> None:
    assert "retry-after" not in sent(closing_answer(400, "bad_request", "")).headers
