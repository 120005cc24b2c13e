"""What goes back over a connection: gunicorn's response fitted to ours, and whole answers of our own.

Follows gunicorn 27.0.1 (``http.wsgi``), the pinned version; ``tests/web/server`` notices if a later one behaves
otherwise. Never waits for a peer that reads.
"""

from __future__ import annotations

import socket
import time
from functools import lru_cache
from http.client import responses as PHRASES
from typing import Protocol

from gunicorn import util
from gunicorn.http import wsgi

from subscriber.web.answers import Answer
from subscriber.web.server.outlet import NOT_NOW

SEND_SECONDS = 30.0  # our answers fit into the kernel's buffer: this ends only a peer that stopped reading


class Answered(Protocol):
    """What a response asks of the request that it answers."""

    @property
    def method(self) -> str: ...
    @property
    def version(self) -> tuple[int, int]: ...
    def should_close(self) -> bool: ...


class Response(wsgi.Response):  # type: ignore[misc]
    """A response that does not name its server, and sends header and first piece of body together."""

    headers_sent: bool

    def __init__(self, request: Answered, sock: socket.socket, cfg: object) -> None:
        super().__init__(request, sock, cfg)
        self._unsent = b""

    def default_headers(self) -> list[str]:
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def send_headers(self) -> None:
        if self.headers_sent:
            return
        lines = self.default_headers() + [f"{name}: {value}\r\n" for name, value in self.headers]
        self._unsent = ("".join(lines) + "\r\n").encode("latin-1")
        self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        framed = b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data
        head, self._unsent = self._unsent, b""
        send_whole(self.sock, head + framed)

    def begin(self) -> bytes:
        """The header block of an answer that somebody else sends on, see ``outlet``."""
        self.send_headers()
        head, self._unsent = self._unsent, b""
        return head

    def close(self) -> None:
        """Send what has not been sent: for an answer without a body, everything."""
        self.send_headers()
        if self._unsent or self.chunked:
            send_whole(self.sock, self._unsent + (b"0\r\n\r\n" if self.chunked else b""))
            self._unsent = b""

    def send(self, answer: Answer) -> bool:
        """Send a whole answer of our own; True if the connection may carry another request.

        Unlike an application's it needs no second look, and it is far quicker without.
        """
        last = self.must_close or self.req.should_close()
        lines = [
            f"HTTP/1.{self.req.version[1]} {answer.status} {PHRASES[answer.status]}",
            f"Date: {_date(int(time.time()))}",
            "Connection: close" if last else "Connection: keep-alive",
            *[f"{name}: {value}" for name, value in answer.headers.items()],
        ]
        self.headers_sent = True
        send_whole(self.sock, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + answer.body)
        return not last


@lru_cache(maxsize=1)
def _date(now: int) -> str:
    """Seconds since 1970 as headers tell them. A second has many answers."""
    text: str = util.http_date(now)
    return text


def send_whole(sock: socket.socket, data: bytes) -> None:
    """Nearly always the kernel takes it at once. If not, this waits for whoever does not read, but not for long."""
    if sock.gettimeout():
        sock.settimeout(0)  # a long body was waited for; that patience is not for this
    try:
        sent = sock.send(data)
    except NOT_NOW:
        sent = 0
    if sent < len(data):
        sock.settimeout(SEND_SECONDS)
        sock.sendall(data[sent:])
