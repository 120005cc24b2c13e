"""Are connections alive?"""

from __future__ import annotations

import asyncio

from subscriber.channels.pulse import Pulse


class Connection:
    """Says when it was last heard, and writes down what is done to it."""

    def __init__(self) -> None:
        self.heard_at = 0.0
        self.pinged_at: float | None = None
        self.listening = True
        self.pings = 0
        self.aborted = False
        self.now = 0.0

    def send_ping(self) -> None:
        self.pinged_at = self.now
        self.pings += 1

    def abort(self) -> None:
        self.aborted = True


def watched(*times: float, listening: bool = True, heard: float = 0.0) -> Connection:
    """A connection that was last heard at ``heard``, after looks at these times."""
    pulse, connection = Pulse(ping_seconds=40, pong_seconds=20), Connection()
    connection.listening, connection.heard_at = listening, heard
    pulse.watch(connection)
    for now in times:
        connection.now = now
        pulse.look(now)
    return connection


def test_a_connection_that_is_heard_is_left_alone() -> None:
    assert watched(39).pings == 0
    assert watched(60, 99, heard=60).pings == 0


def test_a_silent_connection_is_pinged_once_and_ended_when_it_stays_silent() -> None:
    assert watched(40, 41, 59).pings == 1
    assert not watched(40, 59).aborted
    assert watched(40, 60).aborted


def test_a_connection_that_nobody_reads_is_pinged_again_but_never_ended() -> None:
    connection = watched(40, 60, 80, listening=False)
    assert connection.pings == 3
    assert not connection.aborted


def test_a_forgotten_connection_is_not_looked_at() -> None:
    pulse, connection = Pulse(), Connection()
    pulse.watch(connection)
    pulse.forget(connection)
    pulse.look(1e6)
    assert connection.pings == 0


def test_it_looks_by_itself() -> None:
    async def run() -> Connection:
        pulse, connection = Pulse(ping_seconds=0.01, pong_seconds=0.01), Connection()
        connection.heard_at = asyncio.get_running_loop().time()
        pulse.watch(connection)
        looking = asyncio.create_task(pulse.run())
        async with asyncio.timeout(20):
            while not connection.aborted:
                await asyncio.sleep(0.001)
        looking.cancel()
        return connection

    assert asyncio.run(run()).pings == 1
