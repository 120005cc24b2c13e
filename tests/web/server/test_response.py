"""What leaves over a connection; and what we rely on in gunicorn's response."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
from gunicorn.config import Config

from subscriber.errors import Overloaded
from subscriber.web.answers import error_answer, plain_answer
from subscriber.web.server.plain import Plain
from subscriber.web.server.response import Response, send_whole
from tests.web.serving import receive

LARGE = 8 * 1024 * 1024  # more than the kernel takes at once


class Pair:
    """Our end of a connection and the client's."""

    def __init__(self) -> None:
        self.ours, self.client = socket.socketpair()
        self.ours.settimeout(0)
        self.client.settimeout(20)

    def response(self) -> Response:
        return Response(Plain("GET", {}, b""), self.ours, Config())


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    with made.ours, made.client:
        yield made


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ([("Content-Length", "6")], [b"one", b"two"]),
        ([("Content-Length", "6")], [b"", b"onetwo"]),
        ([], [b"one", b"", b"two"]),
    ],
    ids=["declared", "an empty piece first", "chunked"],
)
def test_a_response_arrives_whole(pair: Pair, headers: list[tuple[str, str]], pieces: list[bytes]) -> None:
    response = pair.response()
    response.start_response("200 OK", [*headers, ("X-Own", "value")])
    for piece in pieces:
        response.write(piece)
    response.close()
    answer = receive(pair.client)
    assert (answer.status, answer.body, answer.headers["x-own"]) == (200, b"onetwo", "value")
    assert "server" not in answer.headers
    assert {"date", "connection"} <= set(answer.headers)


def test_a_response_without_a_body_is_sent_when_it_is_closed(pair: Pair) -> None:
    response = pair.response()
    response.start_response("204 No Content", [])
    response.write(b"")
    response.close()
    assert receive(pair.client).status == 204


def test_header_and_first_piece_leave_together(pair: Pair) -> None:
    response = pair.response()
    response.start_response("200 OK", [("Content-Length", "4")])
    response.write(b"body")
    assert pair.client.recv(10_000).endswith(b"\r\n\r\nbody")


def test_a_whole_answer_of_ours_needs_no_application(pair: Pair) -> None:
    assert pair.response().send(error_answer(Overloaded("too much")))
    answer = receive(pair.client)
    assert (answer.status, answer.headers["connection"], answer.headers["retry-after"]) == (503, "keep-alive", "2")
    assert b"too much" in answer.body and len(answer.body) == int(answer.headers["content-length"])
    assert parsedate_to_datetime(answer.headers["date"]) and "server" not in answer.headers


def test_an_answer_without_a_body_declares_none(pair: Pair) -> None:
    pair.response().send(plain_answer(204))
    assert pair.client.recv(10_000).endswith(b"\r\n\r\n")


def test_the_last_answer_on_a_connection_says_so(pair: Pair) -> None:
    response = pair.response()
    response.force_close()
    assert not response.send(plain_answer(204))
    assert receive(pair.client).headers["connection"] == "close"


def test_what_the_network_does_not_take_at_once_is_sent_as_it_is_read(pair: Pair) -> None:
    sender = threading.Thread(target=send_whole, args=(pair.ours, b"x" * LARGE))
    sender.start()
    received = 0
    while received < LARGE:
        received += len(pair.client.recv(LARGE))
    sender.join(20)
    assert received == LARGE and not sender.is_alive()
