"""A WebSocket that writes what belongs together at once, and knows how long it has heard nothing.

RFC 6455, section 5: a client masks each frame with a key of its own, which nobody can foresee. The library sends
every message by itself, a call into the kernel each; acknowledgements come by the hundred, so here their frames are
made one after another and handed to the transport together.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from socket import SHUT_WR

import aiohttp

TEXT, PING = 0x81, 0x89  # first byte of a final frame, with its opcode
MASKED = 0x80
SHORT_BYTES = 125  # longer payloads announce a length of two bytes
LONG = 126
LONG_BYTES = 65_535
KEY_BYTES = 4


class Socket(aiohttp.ClientWebSocketResponse):
    """Made by the library (``ws_response_class``). Pings and pongs are left to whoever reads it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        (response,) = (arg for arg in args if isinstance(arg, aiohttp.ClientResponse))
        assert response.connection is not None and response.connection.transport is not None  # it was upgraded
        self._transport: asyncio.Transport = response.connection.transport
        self._time = asyncio.get_running_loop().time
        self.heard_at = self._time()
        self.pinged_at: float | None = None  # and nothing was heard since
        self.listening = False  # its reader waits for it; if not, silence says nothing
        self.silent = False  # it was ended because nothing was heard for too long
        self.abrupt = False  # no close frame of ours begins its end: on some platforms that would end more
        self._mute = False  # we have said our last word

    def heard(self) -> None:
        """Something came."""
        self.heard_at = self._time()
        self.pinged_at = None

    def send_texts(self, payloads: Sequence[bytes]) -> None:
        """Send text messages, in order. Nothing happens once the connection is closing."""
        keys = os.urandom(KEY_BYTES * len(payloads))
        frames = [
            frame(TEXT, payload, keys[start : start + KEY_BYTES])
            for payload, start in zip(payloads, range(0, len(keys), KEY_BYTES), strict=True)
        ]
        self._write(b"".join(frames))

    def send_ping(self) -> None:
        self.pinged_at = self._time()
        self._write(frame(PING, b"", os.urandom(KEY_BYTES)))

    def abort(self) -> None:
        """End it for its silence; its reader is told that it is closed."""
        self.silent = True
        self._transport.abort()

    def drop(self) -> None:
        """End it without a word; its reader is told that it is closed."""
        self._transport.abort()

    def fall_silent(self) -> None:
        """Say no more, and let the far side know: what it has said until it notices still comes.

        TLS has no such half-close, but the connection below it has: the far side sees it as one that broke.
        """
        if not (self._mute or self._transport.is_closing()):
            self._end_writing()
        self._mute = True

    async def pong(self, message: bytes = b"") -> None:
        if not self._mute:
            await super().pong(message)

    async def close(self, *, code: int = aiohttp.WSCloseCode.OK, message: bytes = b"") -> bool:
        if self.abrupt and not self._closing:  # else it is the answer to the far side's close frame
            self.drop()
        return await super().close(code=code, message=message)

    def _end_writing(self) -> None:
        if self._transport.can_write_eof():
            self._transport.write_eof()  # after what is buffered
            return
        with suppress(OSError):  # it has just broken by itself
            self._transport.get_extra_info("socket").shutdown(SHUT_WR)

    def _write(self, data: bytes) -> None:
        if not (self._mute or self.closed or self._transport.is_closing()):
            self._transport.write(data)


def frame(first: int, payload: bytes, key: bytes) -> bytes:
    """A frame masked with this key. Raises ``ValueError`` for more than ``LONG_BYTES``."""
    size = len(payload)
    if size > LONG_BYTES:
        raise ValueError("longer than anything we say")
    pad = (key * (size // KEY_BYTES + 1))[:size]
    masked = (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)
    if size <= SHORT_BYTES:
        return bytes((first, MASKED | size)) + key + masked
    return bytes((first, MASKED | LONG)) + size.to_bytes(2) + key + masked
