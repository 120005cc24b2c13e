"""Frames in, acknowledgements out: one open socket of a channel.

What is buffered when the reader runs is read as one burst, handed to the admitter, and acknowledged on the same
socket once it is stored. Reading stops while the channel holds as many frames as it may. What frames mean, and what
a close frame says, is its platform's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType

from subscriber.channels.admitter import Admitter, Burst, Lane
from subscriber.channels.frames import Reading
from subscriber.channels.sockets import Socket
from subscriber.errors import PlatformUnavailable, SubscriberError

BURST_FRAMES = 250  # a quarter of the window: while one part is stored, others are read and acknowledged
BURST_BYTES = 1 << 20  # where a frame holds thousands of facts, one is enough


class Decoder(Protocol):
    """What the frames of one channel become, whatever the connection."""

    def read(self, frames: Sequence[bytes], received_at: datetime) -> Reading:
        """Frames in the order they came."""


Ended = Callable[[int, str], SubscriberError | None]
"""What code and text of a close frame mean on a platform; None for those that mean nothing in particular."""


def unexplained(code: int, text: str) -> SubscriberError | None:
    """No code means anything in particular."""
    return None


class Reader:
    """Reads one socket to its end. ``now`` stamps frames, a burst at a time."""

    def __init__(
        self,
        socket: Socket,
        frames: Decoder,
        admitter: Admitter,
        lane: Lane,
        now: Callable[[], datetime],
        ended: Ended = unexplained,
    ) -> None:
        self._socket = socket
        self._frames = frames
        self._admitter = admitter
        self._lane = lane
        self._now = now
        self._explain = ended
        self._burst: list[bytes] = []
        self._size = 0  # bytes of these
        self._stopping = False
        self._failure: Exception | None = None

    def stop(self) -> None:
        """What comes from now on is not kept: the platform sends it again."""
        self._stopping = True
        self._burst.clear()

    async def run(self) -> SubscriberError:
        """Read until the connection ends; why it did. Raises only what is a bug."""
        socket, loop = self._socket, asyncio.get_running_loop()
        socket.listening = True
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                if not self._burst:
                    await self._wait_for_room()
                    loop.call_soon(self._hand_in_safely)  # runs when nothing more is buffered
                self._burst.append(message.data)
                self._size += len(message.data)
                if len(self._burst) >= BURST_FRAMES or self._size >= BURST_BYTES:
                    self._hand_in()
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
                socket.heard()
            elif message.type is WSMsgType.PONG:
                socket.heard()
            elif message.type is WSMsgType.CLOSE and (why := self._explain(message.data, message.extra or "")):
                return self._failure_or(why)
            else:
                return self._failure_or(self._ended(message.type is WSMsgType.ERROR))

    async def _wait_for_room(self) -> None:
        if self._stopping or not self._admitter.full(self._lane):
            return
        self._socket.listening = False
        await self._admitter.room(self._lane)
        self._socket.listening = True
        self._socket.heard()  # what came meanwhile lies unread

    def _hand_in_safely(self) -> None:
        try:
            self._hand_in()
        except Exception as error:  # the top of a callback: the loop would go on without these frames
            self._failure = error
            self._socket.abort()

    def _hand_in(self) -> None:
        frames, self._burst = self._burst, []
        size, self._size = self._size, 0
        if not frames or self._stopping:
            return
        self._socket.heard()
        reading = self._frames.read(frames, self._now())
        burst = Burst(
            lane=self._lane,
            notifications=reading.notifications,
            dead_letters=reading.dead_letters,
            facts=reading.facts,
            frames=len(frames),
            repetitions=reading.repetitions,
            size=size,
            committed=lambda: self._socket.send_texts(reading.acknowledgements),
        )
        self._admitter.put(burst)

    def _failure_or(self, why: SubscriberError) -> SubscriberError:
        if self._failure is not None:
            raise self._failure
        return why

    def _ended(self, by_us: bool) -> PlatformUnavailable:
        if self._socket.silent:
            return PlatformUnavailable(
                "nothing was heard for too long, not even an answer to a ping", reason="silent"
            )
        code = self._socket.close_code or WSCloseCode.ABNORMAL_CLOSURE
        if by_us:
            return PlatformUnavailable(f"the platform sent no proper WebSocket message ({code:d})", reason="protocol")
        if code == WSCloseCode.ABNORMAL_CLOSURE:
            return PlatformUnavailable("the connection broke", reason="broken")
        return PlatformUnavailable(f"the platform closed the connection ({code:d})", reason="closed")
