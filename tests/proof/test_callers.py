"""An open loop goes on when nobody answers; a closed loop waits."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from proof.callers import Load, deliver, offer
from tests.web.serving import post

ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"


def delivery(name: str) -> bytes:
    return post("/", name.encode())


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def quick() -> Iterator[int]:
    """The port of a server that accepts every delivery of one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept_all, args=(listener,), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(20)


def _accept_all(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(ACCEPTED * data.count(b"POST"))
        except ConnectionError:
            pass  # it hung up


def test_an_open_loop_offers_at_its_rate_though_nothing_is_answered(silent: int) -> None:
    load = offer(silent, "x", delivery, callers=3, rate=500, load=Load(0.4))
    assert 0 < load.offered <= 200 and load.left == load.offered
    assert (load.acknowledged, load.in_time, load.lost) == (set(), 0, 0)


def test_what_an_open_loop_got_acknowledged_is_known_by_name(quick: int) -> None:
    load = offer(quick, "x", delivery, callers=1, rate=100, load=Load(0.4))
    assert len(load.acknowledged) + load.left == load.offered
    assert "x-0-1" in load.acknowledged


def test_a_closed_loop_delivers_as_it_is_answered(quick: int) -> None:
    load = deliver(quick, "x", delivery, callers=1, load=Load(0.2))
    assert len(load.acknowledged) == load.offered > 0
    assert load.left == 0


def test_the_ramp_is_left_out_of_the_rate(quick: int) -> None:
    load = deliver(quick, "x", delivery, callers=1, load=Load(0.2, ramp_seconds=0.1))
    assert load.in_time < len(load.acknowledged)
    assert load.rate == load.in_time / 0.1
