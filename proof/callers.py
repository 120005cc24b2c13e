"""Many callers at once, in one thread. ``deliver``: each delivers again the moment it has its answer (a closed loop).
``offer``: deliveries come at fixed times, answered or not (an open loop).

Every delivery is another asset; which of them were acknowledged is remembered by name.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle

ACCEPTED = 204
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\nContent-Length: "
LAST_ANSWERS_SECONDS = 30.0  # for what is under way when the time is over; the server gives a delivery 5
CONNECTING = 50  # at a time: the listener's queue is not what is tried here
TICK_SECONDS = 0.002  # between looks at what is due, in an open loop
OTHER_FILES = 200  # of this process, beside connections


@dataclass(slots=True)
class Load:
    """What came of a stretch of deliveries. ``seconds``: its length, without the last answers. ``ramp_seconds``: how
    much of its beginning is left out of the rate, while queues fill that an overload keeps filled.
    """

    seconds: float
    ramp_seconds: float = 0.0
    acknowledged: set[str] = field(default_factory=set)
    in_time: int = 0  # acknowledged within these seconds, after the ramp
    refused: Counter[int] = field(default_factory=Counter)  # by status
    lost: int = 0  # connections that ended without an answer
    offered: int = 0  # deliveries handed to a connection
    late_seconds: float = 0.0  # the longest that one was handed over after its time, in an open loop
    left: int = 0  # deliveries without an answer when the callers of an open loop hung up
    latencies: list[float] = field(default_factory=list)  # seconds, of what was acknowledged

    @property
    def rate(self) -> float:
        """Acknowledged deliveries a second."""
        return self.in_time / (self.seconds - self.ramp_seconds)


class Caller(asyncio.Protocol):
    """One kept connection. ``ahead``: deliveries that are sent before the first of them is answered."""

    def __init__(self, load: Load, name: str, delivery: Callable[[str], bytes], ahead: int) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._names = (f"{name}-{number}" for number in count(1))
        self._delivery = delivery
        self._ahead = ahead
        self._received = b""
        self._from = self._until = 0.0
        self._waiting: deque[tuple[str, float]] = deque()  # name and when it was sent, of what is not answered yet
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, now: float) -> None:
        """Deliver from now on, for the seconds of the load; ``now`` is the monotonic clock's."""
        self._from, self._until = now + self._load.ramp_seconds, now + self._load.seconds
        for _ in range(self._ahead):
            self.send()

    def hang_up(self) -> int:
        """How many were not answered. They may be stored or not: nobody was told."""
        left = len(self._waiting)
        self._waiting.clear()
        if self._transport:
            self._transport.abort()
        return left

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

    def send(self) -> None:
        self._load.offered += 1
        name = next(self._names)
        self._waiting.append((name, time.monotonic()))
        if self._transport:
            self._transport.write(self._delivery(name))

    def _again(self) -> None:
        self.send()

    def _answered(self, status: int) -> None:
        now = time.monotonic()
        name, sent_at = self._waiting.popleft()
        if status == ACCEPTED:
            self._load.acknowledged.add(name)
            self._load.in_time += self._from <= now <= self._until
            self._load.latencies.append(now - sent_at)
        else:
            self._load.refused[status] += 1
        if now < self._until:
            self._again()
        elif not self._waiting and self._transport:
            self._transport.close()


def deliver(
    port: int, name: str, delivery: Callable[[str], bytes], *, callers: int, ahead: int = 1, load: Load
) -> Load:
    """``delivery`` makes the request for an asset's name; ``name`` is what this stretch's names begin with.

    The answer is ``load``, filled in.
    """
    return asyncio.run(_deliver(port, lambda n: Caller(load, f"{name}-{n}", delivery, ahead), callers, load))


def offer(port: int, name: str, delivery: Callable[[str], bytes], *, callers: int, rate: float, load: Load) -> Load:
    """``rate`` deliveries a second at fixed times, to the callers' connections in turn, answered or not.

    When the time is over the callers hang up.
    """
    return asyncio.run(_offer(port, lambda n: Timed(load, f"{name}-{n}", delivery, 0), callers, rate, load))


class Timed(Caller):
    """Delivers when it is told to, and only then."""

    def _again(self) -> None:
        """Not now."""


async def _deliver(port: int, make: Callable[[int], Caller], callers: int, load: Load) -> Load:
    made = await _connect(port, make, callers)
    began = time.monotonic()
    for caller in made:
        caller.begin(began)
    await asyncio.wait([caller.ended for caller in made], timeout=load.seconds + LAST_ANSWERS_SECONDS)
    return load


async def _offer(port: int, make: Callable[[int], Caller], callers: int, rate: float, load: Load) -> Load:
    made = await _connect(port, make, callers)
    began = time.monotonic()
    for caller in made:
        caller.begin(began)
    turns = cycle(made)
    while (passed := time.monotonic() - began) < load.seconds:
        due = int(passed * rate)
        if load.offered < due:
            load.late_seconds = max(load.late_seconds, passed - (load.offered + 1) / rate)
        while load.offered < due:
            next(turns).send()
        await asyncio.sleep(TICK_SECONDS)
    load.left = sum(caller.hang_up() for caller in made)
    await asyncio.wait([caller.ended for caller in made], timeout=LAST_ANSWERS_SECONDS)
    return load


async def _connect(port: int, make: Callable[[int], Caller], callers: int) -> list[Caller]:
    _allow_files(callers + OTHER_FILES)
    loop, made = asyncio.get_running_loop(), list[Caller]()
    for first in range(0, callers, CONNECTING):
        numbers = range(first, min(callers, first + CONNECTING))
        opening = [loop.create_connection(partial(make, number), "127.0.0.1", port) for number in numbers]
        made += [caller for _, caller in await asyncio.gather(*opening)]
    return made


def _allow_files(wanted: int) -> None:
    """As far as we may: connections are files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
