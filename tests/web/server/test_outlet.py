"""The way out of a connection whose answer goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from subscriber.web.server.outlet import Outlet

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def outlet(pair: Pair, *, chunked: bool = True, given: list[str] | None = None) -> Outlet:
    back = (lambda: None) if given is None else (lambda: given.append("back"))
    return Outlet(pair[0], b"HEAD\r\n\r\n", chunked=chunked, stopping=lambda: bool(given), give_back=back)


def test_the_head_goes_out_with_the_first_data_and_chunks_say_their_size(pair: Pair) -> None:
    out = outlet(pair)
    assert out.framed(b"a" * 18) == b"HEAD\r\n\r\n12\r\n" + b"a" * 18 + b"\r\n"
    assert out.framed(b"b") + out.ending == b"1\r\nb\r\n0\r\n\r\n"


def test_without_chunks_the_connection_s_end_is_the_answer_s(pair: Pair) -> None:
    out = outlet(pair, chunked=False)
    assert out.framed(b"a") + out.framed(b"b") + out.ending == b"HEAD\r\n\r\nab"


def test_what_the_network_does_not_take_is_left(pair: Pair) -> None:
    out, much = outlet(pair), b"x" * 10_000_000
    taken = 0
    while size := out.send(much[taken:]):
        taken += size
    assert 0 < taken < len(much)


def test_the_other_side_s_words_are_thrown_away_and_its_end_is_noticed(pair: Pair) -> None:
    out = outlet(pair)
    assert out.listening()
    pair[1].sendall(b"words")
    assert out.listening()
    pair[1].close()
    assert not out.listening()
    with pytest.raises(OSError):
        out.send(b"x")


def test_it_is_given_back_once_it_is_closed(pair: Pair) -> None:
    given: list[str] = []
    out = outlet(pair, given=given)
    assert not out.stopping and out.fileno() == pair[0].fileno()
    out.close()
    assert given == ["back"] and out.stopping
