"""The broker's own connections to applications: one HTTP/1.1 POST at a time on each, kept for the next.

A rehearsal delivers a backlog of days on the processors that the service needs too, and of an answer the broker wants
the status only; a whole HTTP client costs three times as much. Follows RFC 9112, sections 6.3 and 9.3. An answer
whose length is not announced, or is great, ends its connection once its status is known.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import quote, urlsplit

HEAD_BOUND = 65_536  # of an answer
BODY_BOUND = 65_536  # passed over to keep the connection
IDLE_S = 15.0  # shorter than any application's keep-alive, so that no attempt meets a closing connection
HEAD_END = b"\r\n\r\n"
EMPTY = (204, 304)  # never with a body
PORTS = {"http": 80, "https": 443}
PLAIN = "%/?:@!$&'()*+,;=-._~[]"  # characters of a path and query that stay as they are


class Broken(Exception):
    """The connection ended or carried no HTTP before the whole answer was there."""


class Place(NamedTuple):
    """Where connections of one application lead."""

    host: str
    port: int
    secure: bool


@lru_cache(maxsize=4096)  # an application's few addresses, asked for once an attempt
def _parts(url: str) -> tuple[Place, bytes]:
    """The place, and how a request to this address begins."""
    parts = urlsplit(url)
    place = Place(parts.hostname or "", parts.port or PORTS[parts.scheme], parts.scheme == "https")
    target = quote(parts.path or "/", PLAIN) + (f"?{quote(parts.query, PLAIN)}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    return place, f"POST {target} HTTP/1.1\r\nHost: {host}\r\n".encode()


class Line(asyncio.Protocol):
    """One connection. ``answer`` holds a future while a request is under way."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] | None = None
        self.reusable = False
        self.idle_since = 0.0  # on the event loop's clock
        self._received = b""
        self._status = 0
        self._left = -1  # bytes of the answer's body still to come; -1: its head is
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self._transport = None
        self._fail(Broken("the application closed the connection"))

    def send(self, request: bytes) -> asyncio.Future[int]:
        """The status, once the whole answer is there. Cancelling it ends the connection."""
        self.answer = asyncio.get_running_loop().create_future()
        self._received, self._left, self.reusable = b"", -1, False
        if self._transport is None:
            self._fail(Broken("the application closed the connection"))
        else:
            self._transport.write(request)
        return self.answer

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.answer is None or self.answer.done():
            self.close()  # nobody asked
        elif self._left < 0:
            self._received += data
            self._read_head()
        else:
            self._pass_over(len(data))

    def _read_head(self) -> None:
        while (end := self._received.find(HEAD_END)) >= 0:
            head, self._received = self._received[:end], self._received[end + len(HEAD_END) :]
            try:
                self._status, length, kept = _read(head)
            except ValueError:
                self._fail(Broken("the application's answer is no HTTP"))
                return
            if self._status >= 200:
                self.reusable = kept and 0 <= length <= BODY_BOUND
                self._left = length if self.reusable else 0
                self._pass_over(len(self._received))
                return
        if len(self._received) > HEAD_BOUND:
            self._fail(Broken("the application's answer has no end of its head"))

    def _pass_over(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self.reusable = False  # more than was announced
        if self._left <= 0 and self.answer is not None and not self.answer.done():
            self.answer.set_result(self._status)

    def _fail(self, error: Broken) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)


def _read(head: bytes) -> tuple[int, int, bool]:
    """Status, length of the body (-1 = not announced), whether the connection stays; ``ValueError`` if no HTTP."""
    lines = head.lower().split(b"\r\n")
    version, _, rest = lines[0].partition(b" ")
    if version not in (b"http/1.1", b"http/1.0"):
        raise ValueError
    status = int(rest[:3])
    fields = dict(_field(line) for line in lines[1:])
    kept = version == b"http/1.1" and b"close" not in fields.get(b"connection", b"")
    if status in EMPTY:
        return status, 0, kept
    unknown = b"transfer-encoding" in fields or b"content-length" not in fields
    return status, -1 if unknown else int(fields[b"content-length"]), kept


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise ValueError
    return name.strip(), value.strip()


class Lines:
    """Kept connections by place. Everything runs on one event loop."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._kept: dict[Place, list[Line]] = {}

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect_timeout_s: float,
        response_timeout_s: float,
        cut: bool = False,
    ) -> int:
        """The answer's status. ``cut`` breaks the connection in the middle of the body instead.

        Raises ``TimeoutError``, ``OSError`` where there is no way to the application, and ``Broken``.
        """
        place, beginning = _parts(url)
        request = _request(beginning, headers, body)
        async with asyncio.timeout(connect_timeout_s):
            line = self._take(place) or await self._connect(place)
        if cut:
            line.send(request[: len(request) - (len(body) + 1) // 2]).cancel()
            line.close()
            raise Broken("cut")
        answer = line.send(request)
        expiry = asyncio.get_running_loop().call_later(response_timeout_s, partial(_expire, answer))
        try:
            return await answer
        finally:
            expiry.cancel()
            self._keep(place, line)

    def close(self) -> None:
        for lines in self._kept.values():
            for line in lines:
                line.close()
        self._kept.clear()

    async def _connect(self, place: Place) -> Line:
        context, name = (self._context, place.host) if place.secure else (None, None)
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(Line, place.host, place.port, ssl=context, server_hostname=name)
        return line

    def _take(self, place: Place) -> Line | None:
        """The connection used last, if it still serves."""
        kept, oldest = self._kept.get(place, []), asyncio.get_running_loop().time() - IDLE_S
        while kept:
            line = kept.pop()
            if line.reusable and line.idle_since >= oldest:
                return line
            line.close()
        return None

    def _keep(self, place: Place, line: Line) -> None:
        if line.reusable and line.answer is not None and line.answer.done() and not line.answer.cancelled():
            line.idle_since = asyncio.get_running_loop().time()
            self._kept.setdefault(place, []).append(line)
        else:
            line.close()


def _request(beginning: bytes, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers) or "\0" in fields:
        raise ValueError("a header holds a line end")
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (beginning, fields.encode(), len(body), body)


def _expire(answer: asyncio.Future[int]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
