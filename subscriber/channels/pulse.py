"""Are the connections alive? Pings what is silent, ends what does not answer.

A connection may be dead without either side being told (a router forgot it, a machine lost its power), and the
platform closes what is idle for five minutes; pings count as traffic (consumer protocol). The clock starts anew with
anything that is heard. A channel that does not read for a while, because the store is away, is pinged as well, but
not judged: the answer may lie unread.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

PING_SECONDS = 40.0  # of silence; the vendor's own clients ping every 30 to 60
PONG_SECONDS = 20.0  # a busy platform may answer late, which is no reason to break off
LOOK_SECONDS = 2.0  # each look costs a comparison for each connection


class Watched(Protocol):
    """What is to be watched: times are the event loop's."""

    heard_at: float
    pinged_at: float | None
    listening: bool

    def send_ping(self) -> None: ...

    def abort(self) -> None: ...


class Pulse:
    """Belongs to one event loop; ``run`` works until cancelled."""

    def __init__(self, ping_seconds: float = PING_SECONDS, pong_seconds: float = PONG_SECONDS) -> None:
        self._ping_seconds = ping_seconds
        self._pong_seconds = pong_seconds
        self._look_seconds = min(LOOK_SECONDS, ping_seconds / 4, pong_seconds / 4)
        self._watched: set[Watched] = set()

    def watch(self, socket: Watched) -> None:
        self._watched.add(socket)

    def forget(self, socket: Watched) -> None:
        self._watched.discard(socket)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._look_seconds)
            self.look(loop.time())

    def look(self, now: float) -> None:
        """Ping those that are silent, end those that stay so."""
        for socket in tuple(self._watched):
            if socket.pinged_at is None:
                if now - socket.heard_at >= self._ping_seconds:
                    socket.send_ping()
            elif now - socket.pinged_at >= self._pong_seconds:
                if socket.listening:
                    socket.abort()
                else:
                    socket.send_ping()
