"""The threads that answer."""

from __future__ import annotations

import logging
import queue
import socket
import threading

import pytest
from gunicorn.config import Config

from subscriber.web.server.limits import InFlight, Slots
from subscriber.web.server.threads import Threads
from subscriber.web.server.wire import Connection, Parser, Reader

HERE = ("127.0.0.1", 0)


def connection() -> tuple[Connection, socket.socket]:
    ours, theirs = socket.socketpair()
    reader = Reader(ours, InFlight(1000), Slots(1), patience=5)
    return Connection(ours, HERE, HERE, reader, Parser(Config(), reader, HERE)), theirs


def test_connections_are_served_at_the_same_time_up_to_the_number_of_threads() -> None:
    together = threading.Barrier(3, timeout=10)

    def serve(_: Connection) -> None:
        together.wait()

    threads = Threads(3, serve)
    taken = [connection() for _ in range(3)]
    for one, _ in taken:
        threads.submit(one)
    for one, theirs in taken:
        one.close()
        theirs.close()


def test_a_bug_costs_the_connection_and_not_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    served: queue.SimpleQueue[Connection] = queue.SimpleQueue()

    def serve(one: Connection) -> None:
        served.put(one)
        if one is broken:
            raise RuntimeError("a bug")

    broken, their_broken = connection()
    sound, their_sound = connection()
    with caplog.at_level(logging.ERROR), their_broken, their_sound:
        threads = Threads(1, serve)
        threads.submit(broken)
        assert their_broken.recv(1) == b""
        threads.submit(sound)
        assert [served.get(timeout=10), served.get(timeout=10)] == [broken, sound]
        sound.close()
    assert "a connection was lost" in caplog.text
