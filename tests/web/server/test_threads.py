"""The threads that answer."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from gunicorn.config import Config

from subscriber.web.server.limits import InFlight, Slots
from subscriber.web.server.threads import EAGER, STUCK_SECONDS, Threads
from subscriber.web.server.wire import Connection, Parser, Reader

HERE = ("127.0.0.1", 0)


def connection() -> tuple[Connection, socket.socket]:
    ours, theirs = socket.socketpair()
    reader = Reader(ours, InFlight(1000), Slots(1), patience=5)
    return Connection(ours, HERE, HERE, reader, Parser(Config(), reader, HERE)), theirs


def eventually(condition: Callable[[], bool]) -> bool:
    give_up_at = time.monotonic() + 20
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.005)
    return condition()


class Slow:
    """Serves by waiting until it is told to go on."""

    def __init__(self) -> None:
        self.begun: list[Connection] = []
        self.go_on = threading.Event()

    def __call__(self, one: Connection) -> None:
        self.begun.append(one)
        assert self.go_on.wait(30)


@pytest.fixture
def taken() -> Iterator[list[Connection]]:
    pairs = [connection() for _ in range(6)]
    yield [ours for ours, _ in pairs]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def at_rest(count: int, serve: Callable[[Connection], None]) -> Threads:
    threads = Threads(count, serve)
    assert eventually(lambda: not threads.stretched)
    return threads


def test_few_threads_are_woken_for_work_and_the_rest_when_these_are_stuck(taken: list[Connection]) -> None:
    slow = Slow()
    threads = at_rest(5, slow)
    for one in taken:
        threads.submit(one)
    assert eventually(lambda: len(slow.begun) == EAGER) and threads.stretched
    now = 1000.0
    for awake in range(EAGER, 5):
        threads.relieve(now)  # sees that something was begun since it last looked
        threads.relieve(now + STUCK_SECONDS / 2)
        threads.relieve(now + 2 * STUCK_SECONDS)
        assert eventually(lambda: len(slow.begun) == awake + 1)  # noqa: B023  # called within the loop
        now += 1
    threads.relieve(now)
    threads.relieve(now + 1)  # all are awake: there is nobody left
    slow.go_on.set()
    assert eventually(lambda: len(slow.begun) == len(taken))


def test_nobody_is_woken_while_work_is_taken_or_none_waits(taken: list[Connection]) -> None:
    slow = Slow()
    threads = at_rest(5, slow)
    threads.relieve(1000.0)
    threads.relieve(1001.0)
    for one in taken[:EAGER]:
        threads.submit(one)
    assert eventually(lambda: len(slow.begun) == EAGER)
    threads.relieve(1002.0)
    threads.relieve(1003.0)  # nothing waits
    threads.submit(taken[-1])
    threads.relieve(1003.0)
    assert len(slow.begun) == EAGER
    slow.go_on.set()
    assert eventually(lambda: len(slow.begun) == EAGER + 1 and not threads.stretched)


def test_what_became_ready_first_is_taken_first(taken: list[Connection]) -> None:
    served: queue.SimpleQueue[Connection] = queue.SimpleQueue()
    threads = Threads(1, served.put)
    for one in taken:
        threads.submit(one)
    assert [served.get(timeout=20) for _ in taken] == taken


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
