"""One connection, over a real pair of sockets; and what we rely on in gunicorn's parser."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from subscriber.errors import Overloaded, UnreadableRequest
from subscriber.web.server.limits import InFlight, Slots
from subscriber.web.server.plain import PlainReader
from subscriber.web.server.response import Response
from subscriber.web.server.wire import Connection, Parser, Reader, Request
from tests.web.serving import chunked, get, head, is_closed, post, receive

HERE = ("127.0.0.1", 0)
LIMIT = 200_000
LONG = 100_000


class Pair:
    """Our connection and the client's end of it."""

    def __init__(self, patience: float = 5.0) -> None:
        ours, self.client = socket.socketpair()
        self.client.settimeout(10)
        self.in_flight = InFlight(LIMIT)
        self.slots = Slots(1)
        self.cfg = Config()
        reader = Reader(ours, self.in_flight, self.slots, patience)
        self.connection = Connection(ours, HERE, HERE, reader, Parser(self.cfg, reader, HERE))

    def request(self, data: bytes) -> Request:
        """Parse a request of which ``data`` has been collected."""
        assert self.in_flight.take(len(data))
        self.connection.arrival.feed(data)
        self.connection.begin_request()
        request: Request = next(self.connection.parser)
        return request

    def response(self, request: Request) -> Response:
        return Response(request, self.connection.sock, self.cfg)

    def close(self) -> None:
        self.connection.close()
        self.client.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_a_collected_request_is_read_without_the_socket(pair: Pair) -> None:
    pair.client.close()
    request = pair.request(post("/path?query", b"body"))
    assert (request.method, request.path, request.query) == ("POST", "/path", "query")
    assert request.body.read() == b"body"
    assert not request.should_close()


def test_the_next_request_comes_back_as_surplus(pair: Pair) -> None:
    request = pair.request(post("/", b"body") + get("/next"))
    assert request.body.read() == b"body"
    assert pair.connection.reader.end() == get("/next")
    assert pair.in_flight.held == 0


def test_a_long_body_is_read_on_from_the_socket(pair: Pair) -> None:
    start = post("/", b"x" * LONG)
    pair.client.sendall(start[1000:] + get("/next"))
    request = pair.request(start[:1000])
    assert request.should_close()  # as long as it is not read
    assert len(request.body.read()) == LONG
    assert not request.should_close()
    assert pair.slots.take()  # nobody is waited for any more
    assert pair.in_flight.held >= LONG
    pair.connection.reader.end()
    assert pair.in_flight.held == 0


def test_a_long_chunked_body_is_read_to_its_last_chunk(pair: Pair) -> None:
    pair.client.sendall(chunked(b"x" * LONG, b"y"))
    request = pair.request(head("POST", "/", "Transfer-Encoding: chunked", "X-Odd: no"))
    assert request.should_close()
    assert request.body.read() == b"x" * LONG + b"y"
    assert not request.should_close()


def test_waiting_needs_a_slot(pair: Pair) -> None:
    pair.slots.take()
    request = pair.request(head("POST", "/", f"Content-Length: {LONG}"))
    with pytest.raises(Overloaded):
        request.body.read()


def test_waiting_has_an_end() -> None:
    pair = Pair(patience=0.05)
    request = pair.request(head("POST", "/", f"Content-Length: {LONG}"))
    pair.client.sendall(b"some of it")
    with pytest.raises(UnreadableRequest) as refused:
        request.body.read()
    assert (refused.value.status, refused.value.reason) == (408, "too_slow")
    assert pair.slots.take()
    pair.close()


def test_a_body_counts_while_it_is_read(pair: Pair) -> None:
    assert pair.in_flight.take(LIMIT - 1000)
    request = pair.request(head("POST", "/", f"Content-Length: {LONG}"))
    pair.client.sendall(b"x" * 50_000)
    with pytest.raises(Overloaded):
        request.body.read()


@pytest.mark.parametrize("sent", [b"zz\r\n", b"5\r\nhelloXX", b"5\r\nhe"])
def test_a_badly_framed_or_broken_body_has_one_name(pair: Pair, sent: bytes) -> None:
    pair.client.sendall(sent)
    pair.client.shutdown(socket.SHUT_WR)
    request = pair.request(head("POST", "/", "Transfer-Encoding: chunked"))
    with pytest.raises(UnreadableRequest) as refused:
        request.body.read()
    assert (refused.value.status, refused.value.reason) == (400, "broken_body")
    assert not pair.connection.parser.finish_body()


def test_continue_is_sent_with_the_first_wait_and_once(pair: Pair) -> None:
    request = pair.request(head("POST", "/", "Content-Length: 10", "Expect: 100-continue"))
    pair.client.sendall(b"0123456789")
    assert request.body.read() == b"0123456789"
    pair.response(request).start_response("204 No Content", [])
    assert receive(pair.client).status == 100


def test_continue_is_not_sent_for_a_body_that_is_here(pair: Pair) -> None:
    request = pair.request(head("POST", "/", "Content-Length: 4", "Expect: 100-continue") + b"body")
    assert request.body.read() == b"body"
    response = pair.response(request)
    response.start_response("204 No Content", [])
    response.close()
    assert receive(pair.client).status == 204


def test_a_plain_request_is_taken_off_what_has_arrived(pair: Pair) -> None:
    data = post("/path", b"body") + get("/next")
    assert pair.in_flight.take(len(data))
    pair.connection.arrival.feed(data)
    plain = pair.connection.begin_plain(PlainReader(pair.cfg))
    assert plain and plain.environ["REMOTE_ADDR"] == HERE[0] and plain.environ["wsgi.input"].read() == b"body"
    assert pair.connection.finish_request()
    assert pair.connection.reader.end() == get("/next")
    assert pair.in_flight.held == 0


def test_what_is_not_plain_or_not_whole_is_left_for_the_parser(pair: Pair) -> None:
    pair.connection.arrival.feed(post("/path", b"x" * LONG)[:1000])
    assert pair.connection.begin_plain(PlainReader(pair.cfg)) is None
    request = pair.request(b"")
    assert (request.method, request.path) == ("POST", "/path")


def test_the_last_word_reaches_the_client_and_then_nothing_does(pair: Pair) -> None:
    pair.connection.say_last(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert receive(pair.client).status == 408
    assert is_closed(pair.client)


def test_a_last_word_to_nobody_does_no_harm(pair: Pair) -> None:
    pair.client.close()
    pair.connection.say_last(b"too late")
    pair.connection.say_last(b"too late")


def test_what_is_forgotten_is_counted_once(pair: Pair) -> None:
    pair.connection.arrival.feed(b"POST /")
    assert pair.connection.forget() == 6
    assert pair.connection.forget() == 0


def test_a_connection_given_up_holds_neither_bytes_nor_a_slot(pair: Pair) -> None:
    pair.request(head("POST", "/", f"Content-Length: {LONG}"))
    pair.client.sendall(b"some of it")
    pair.connection.reader.chunk()
    assert pair.in_flight.held > 0 and not pair.slots.take()
    pair.connection.abandon()
    assert pair.in_flight.held == 0 and pair.slots.take()


def test_a_client_that_has_ended_the_connection_is_gone(pair: Pair) -> None:
    assert not pair.connection.left()
    pair.client.sendall(b"more")
    assert not pair.connection.left()
    pair.client.shutdown(socket.SHUT_WR)
    assert pair.connection.left()
