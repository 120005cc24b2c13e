"""The way out of a connection whose answer goes on, see ``deferral.Line``.

Nothing here waits: the socket is not blocking. What arrives meanwhile is thrown away: there is no next request on
this connection.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

DISCARDED_BYTES = 64 * 1024  # of what the other side says at a time
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Outlet:
    """``head`` goes out before anything else. ``give_back`` returns the connection to the server."""

    def __init__(
        self,
        sock: socket.socket,
        head: bytes,
        *,
        chunked: bool,
        stopping: Callable[[], bool],
        give_back: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._head = head
        self._chunked = chunked
        self._stopping = stopping
        self._give_back = give_back
        self.ending = b"0\r\n\r\n" if chunked else b""

    @property
    def stopping(self) -> bool:
        return self._stopping()

    def fileno(self) -> int:
        return self._sock.fileno()

    def framed(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + (b"%X\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def send(self, data: bytes | bytearray) -> int:
        try:
            return self._sock.send(data)
        except NOT_NOW:
            return 0

    def listening(self) -> bool:
        try:
            return self._sock.recv(DISCARDED_BYTES) != b""
        except NOT_NOW:
            return True
        except OSError:
            return False

    def close(self) -> None:
        self._give_back()
