"""Many callers at once, in one thread: each delivers again the moment it has its answer.

Every delivery is another asset; which of them were acknowledged is remembered by name.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

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
    """One kept connection."""

    def __init__(self, load: Load, name: str, delivery: Callable[[str], bytes]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._name = name
        self._delivery = delivery
        self._number = 0
        self._received = b""
        self._until = 0.0
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, until: float) -> None:
        """Deliver until this moment of the monotonic clock."""
        self._until = until
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(HEAD_END)
        if end < 0:
            return
        _, _, length = self._received[:end].partition(LENGTH)
        if len(self._received) < end + len(HEAD_END) + int(length.partition(b"\r")[0] or 0):
            return
        self._answered(int(self._received.split(b" ", 2)[1]))
        self._received = b""
        if time.monotonic() < self._until:
            self._send()
        elif self._transport:
            self._sent_at = 0.0
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost += self._sent_at > 0
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self._number += 1
        self._sent_at = time.monotonic()
        if self._transport:
            self._transport.write(self._delivery(self._asset))

    @property
    def _asset(self) -> str:
        return f"{self._name}-{self._number}"

    def _answered(self, status: int) -> None:
        if status != 204:
            self._load.refused[status] += 1
            return
        now = time.monotonic()
        self._load.acknowledged.add(self._asset)
        self._load.in_time += now <= self._until
        self._load.latencies.append(now - self._sent_at)


def deliver(port: int, name: str, delivery: Callable[[str], bytes], *, callers: int, seconds: float) -> Load:
    """``delivery`` makes the request for an asset's name; ``name`` is what this stretch's names begin with."""
    return asyncio.run(_deliver(port, name, delivery, callers, seconds))


async def _deliver(port: int, name: str, delivery: Callable[[str], bytes], callers: int, seconds: float) -> Load:
    loop, load, made = asyncio.get_running_loop(), Load(seconds), list[Caller]()
    for first in range(0, callers, CONNECTING):
        numbers = range(first, min(callers, first + CONNECTING))
        opened = [
            loop.create_connection(lambda n=number: Caller(load, f"{name}-{n}", delivery), "127.0.0.1", port)  # type: ignore[misc]
            for number in numbers
        ]
        made += [caller for _, caller in await asyncio.gather(*opened)]
    until = time.monotonic() + seconds
    for caller in made:
        caller.begin(until)
    await asyncio.wait([caller.ended for caller in made], timeout=seconds + LAST_ANSWERS_SECONDS)
    return load
