"""Many callers at once, in one thread: each delivers again the moment it has its answer.

Every delivery is another asset; which of them were acknowledged is remembered by name.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

ACCEPTED = 204
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\nContent-Length: "
LAST_ANSWERS_SECONDS = 30.0  # for what is under way when the time is over; the server gives a delivery 5
CONNECTING = 50  # at a time: the listener's queue is not what is tried here


@dataclass(slots=True)
class Load:
    """What came of a stretch of deliveries. ``seconds``: its length, without the last answers."""

    seconds: float
    acknowledged: set[str] = field(default_factory=set)
    in_time: int = 0  # acknowledged within these seconds
    refused: Counter[int] = field(default_factory=Counter)  # by status
    lost: int = 0  # connections that ended without an answer
    latencies: list[float] = field(default_factory=list)  # seconds, of what was acknowledged

    @property
    def rate(self) -> float:
        """Acknowledged deliveries a second."""
        return self.in_time / self.seconds


class Caller(asyncio.Protocol):
    """One kept connection. ``ahead``: deliveries that are sent before the first of them is answered."""

    def __init__(self, load: Load, name: str, delivery: Callable[[str], bytes], ahead: int) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._names = (f"{name}-{number}" for number in count(1))
        self._delivery = delivery
        self._ahead = ahead
        self._received = b""
        self._until = 0.0
        self._waiting: deque[tuple[str, float]] = deque()  # name and when it was sent, of what is not answered yet
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, until: float) -> None:
        """Deliver until this moment of the monotonic clock."""
        self._until = until
        for _ in range(self._ahead):
            self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(HEAD_END)) >= 0:
            _, _, length = self._received[:end].partition(LENGTH)
            whole = end + len(HEAD_END) + int(length.partition(b"\r")[0] or 0)
            if len(self._received) < whole:
                return
            status = int(self._received.split(b" ", 2)[1])
            self._received = self._received[whole:]
            self._answered(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost += bool(self._waiting)
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        name = next(self._names)
        self._waiting.append((name, time.monotonic()))
        if self._transport:
            self._transport.write(self._delivery(name))

    def _answered(self, status: int) -> None:
        now = time.monotonic()
        name, sent_at = self._waiting.popleft()
        if status == ACCEPTED:
            self._load.acknowledged.add(name)
            self._load.in_time += now <= self._until
            self._load.latencies.append(now - sent_at)
        else:
            self._load.refused[status] += 1
        if now < self._until:
            self._send()
        elif not self._waiting and self._transport:
            self._transport.close()


def deliver(
    port: int, name: str, delivery: Callable[[str], bytes], *, callers: int, ahead: int = 1, seconds: float
) -> Load:
    """``delivery`` makes the request for an asset's name; ``name`` is what this stretch's names begin with."""
    return asyncio.run(_deliver(port, lambda load, n: Caller(load, f"{name}-{n}", delivery, ahead), callers, seconds))


async def _deliver(port: int, make: Callable[[Load, int], Caller], callers: int, seconds: float) -> Load:
    loop, load, made = asyncio.get_running_loop(), Load(seconds), list[Caller]()
    for first in range(0, callers, CONNECTING):
        numbers = range(first, min(callers, first + CONNECTING))
        opening = [loop.create_connection(partial(make, load, number), "127.0.0.1", port) for number in numbers]
        made += [caller for _, caller in await asyncio.gather(*opening)]
    until = time.monotonic() + seconds
    for caller in made:
        caller.begin(until)
    await asyncio.wait([caller.ended for caller in made], timeout=seconds + LAST_ANSWERS_SECONDS)
    return load
