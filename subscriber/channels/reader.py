"""Frames in, acknowledgements out: one open socket of a channel.

What is buffered when the reader runs is read as one burst, handed to the admitter, and acknowledged on the same
socket once it is stored. Reading stops while the channel holds as many frames as it may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from aiohttp import WSCloseCode, WSMsgType

from subscriber.channels.admitter import Admitter, Burst, Lane
from subscriber.channels.frames import Frames
from subscriber.channels.sockets import Socket
from subscriber.errors import PlatformUnavailable

BURST_FRAMES = 250  # a quarter of the window: while one part is stored, others are read and acknowledged


class Reader:
    """Reads one socket to its end. ``now`` stamps frames, a burst at a time."""

    def __init__(
        self, socket: Socket, frames: Frames, admitter: Admitter, lane: Lane, now: Callable[[], datetime]
    ) -> None:
        self._socket = socket
        self._frames = frames
        self._admitter = admitter
        self._lane = lane
        self._now = now
        self._burst: list[bytes] = []
        self._stopping = False
        self._failure: Exception | None = None

    def stop(self) -> None:
        """What comes from now on is not kept: the platform sends it again."""
        self._stopping = True
        self._burst.clear()

    async def run(self) -> PlatformUnavailable:
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
                if len(self._burst) >= BURST_FRAMES:
                    self._hand_in()
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
                socket.heard()
            elif message.type is WSMsgType.PONG:
                socket.heard()
            else:
                return self._ended(message.type is WSMsgType.ERROR)

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
            repetitions=len(frames) - len(reading.notifications) - len(reading.dead_letters),
            size=sum(map(len, frames)),
            committed=lambda: self._socket.send_texts(reading.acknowledgements),
        )
        self._admitter.put(burst)

    def _ended(self, by_us: bool) -> PlatformUnavailable:
        if self._failure is not None:
            raise self._failure
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
