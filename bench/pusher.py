"""A Cumulocity that does nothing but push: ``python -m bench.pusher PORT``, a process of its own.

A platform that were slower than who reads it would make all readers look alike. So frames are made before the clock
starts, go out many in one write, and their acknowledgements are counted, not parsed one by one. To its clients it is
the real thing (consumer protocol of Notification 2.0): tokens, rules, the list of tenants, one text message for each
notification, at most WINDOW of them without acknowledgement, pings answered. Every stretch of acknowledgements is
checked by its last one, which has to be the frame's own.

``POST /_push`` sends so many frames to all sockets of a subscription and answers when the last is acknowledged.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from aiohttp import web

WINDOW = 1000  # frames without acknowledgement on a connection
SOURCES = 100  # devices of a tenant
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
LONG, LONG_BYTES = 126, 65_535  # a length of two bytes
ACK_CHARS = 20  # published ids have 16 to 24
ACK_BYTES = 6 + ACK_CHARS  # header, masking key, text
USER, PASSWORD = "service_bench", "bench"
BODY = (
    '{"self":"https://{t}.example.com/measurement/measurements/{n}","time":"{at}","id":"{n}",'
    '"source":{"self":"https://{t}.example.com/inventory/managedObjects/{s}","id":"{s}"},'
    '"type":"c8y_Temperature","c8y_Temperature":{"T":{"unit":"C","value":{v}}}}'
)


def ack_text(number: int) -> str:
    return f"CPu{number:0{ACK_CHARS - 4}d}="


def frames(tenant: str, first: int, amount: int) -> list[bytes]:
    """WebSocket messages of measurements, each another fact: a millisecond and an id apart."""
    begin = datetime.now(UTC)
    body = BODY.replace("{t}", tenant)
    made = []
    for number in range(first, first + amount):
        source, at = 5000 + number % SOURCES, begin + timedelta(milliseconds=number - first)
        text = body.replace("{n}", str(number)).replace("{s}", str(source)).replace("{v}", str(number % 400 / 10))
        text = text.replace("{at}", f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z")
        message = f"{ack_text(number)}\n/{tenant}/measurements/{source}\nCREATE\n\n{text}".encode()
        assert 125 < len(message) <= LONG_BYTES
        made.append(bytes((TEXT, LONG)) + len(message).to_bytes(2) + message)
    return made


class Session(asyncio.Protocol):
    """One consumer's socket, once it is open."""

    def __init__(self, transport: asyncio.Transport, tenant: str, subscription: str) -> None:
        self.tenant = tenant
        self.subscription = subscription
        self.closed = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._rest = b""
        self._frames: list[bytes] = []
        self._first = self._sent = self._acknowledged = 0
        self._done: asyncio.Future[None] | None = None

    def load(self, first: int, amount: int) -> None:
        """Make frames ready; nothing is sent yet."""
        self._frames, self._first, self._sent, self._acknowledged = frames(self.tenant, first, amount), first, 0, 0
        self._done = asyncio.get_running_loop().create_future()

    async def push(self) -> None:
        """Send all; returns when the last is acknowledged."""
        assert self._done is not None
        self._send()
        await self._done

    def _send(self) -> None:
        until = min(len(self._frames), self._acknowledged + WINDOW)
        if self._sent < until:
            self._transport.write(b"".join(self._frames[self._sent : until]))
            self._sent = until

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the client went away in the middle of a round"))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) // ACK_BYTES
        stretch = whole * ACK_BYTES
        if whole and data[:stretch:ACK_BYTES] == bytes((TEXT,)) * whole:  # nothing else is among them
            self._count(whole, data[stretch - ACK_BYTES : stretch])
            data = data[stretch:]
        self._rest = self._one_by_one(data)

    def _one_by_one(self, data: bytes) -> bytes:
        """What is left: the beginning of a message."""
        while len(data) >= 6 and len(data) >= (size := 6 + (data[1] & 0x7F)):
            message, data = data[:size], data[size:]
            if message[0] == TEXT:
                self._count(1, message)
            elif message[0] == PING:
                self._transport.write(bytes((PONG, size - 6)) + unmasked(message))
            elif message[0] == CLOSE:
                self._transport.write(bytes((CLOSE, size - 6)) + unmasked(message))
                self._transport.close()
        return data

    def _count(self, amount: int, last: bytes) -> None:
        self._acknowledged += amount
        expected = ack_text(self._first + self._acknowledged - 1)
        if unmasked(last).decode() != expected or self._acknowledged > self._sent:
            self._transport.abort()
            raise AssertionError(f"not the acknowledgement of {expected}")
        self._send()
        if self._acknowledged == len(self._frames) and self._done is not None:
            self._done.set_result(None)


def unmasked(message: bytes) -> bytes:
    """The text of a client's short message."""
    key, text = message[2:6], message[6:]
    return bytes(byte ^ key[place % 4] for place, byte in enumerate(text))


class Platform:
    """The REST side, and who is connected."""

    def __init__(self) -> None:
        self._sessions: list[Session] = []
        self._rules: dict[str, list[dict[str, Any]]] = {}
        self._numbers = count(1)
        self._next = 1  # frame

    def application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get("/application/currentApplication/subscriptions", self.tenants),
                web.get("/notification2/subscriptions", self.rules),
                web.post("/notification2/subscriptions", self.make_rule),
                web.post("/notification2/token", self.token),
                web.get("/notification2/consumer/", self.consume),
                web.get("/_connected", self.connected),
                web.post("/_push", self.push),
            ]
        )
        return application

    async def tenants(self, request: web.Request) -> web.Response:
        """As many as the bootstrap user's name says: ``bootstrap_3`` serves three."""
        amount = int(caller(request)[1].rpartition("_")[2])
        users = [{"tenant": f"t{1000 + number}", "name": USER, "password": PASSWORD} for number in range(amount)]
        return web.json_response({"users": users})

    async def rules(self, request: web.Request) -> web.Response:
        first = request.query.get("currentPage", "1") == "1"
        return web.json_response({"subscriptions": self._rules.get(caller(request)[0], []) if first else []})

    async def make_rule(self, request: web.Request) -> web.Response:
        rule = await request.json() | {"id": str(next(self._numbers))}
        self._rules.setdefault(caller(request)[0], []).append(rule)
        return web.json_response(rule, status=201)

    async def token(self, request: web.Request) -> web.Response:
        text = f"{caller(request)[0]}/{(await request.json())['subscription']}"
        return web.json_response({"token": f"e30.{base64.urlsafe_b64encode(text.encode()).decode()}.e30"})

    async def consume(self, request: web.Request) -> web.StreamResponse:
        try:
            text = base64.urlsafe_b64decode(request.query["token"].split(".")[1]).decode()
        except (KeyError, IndexError, binascii.Error):
            raise web.HTTPUnauthorized from None
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        session = Session(transport, *text.split("/"))
        transport.set_protocol(session)  # from here on bytes are ours
        self._sessions.append(session)
        try:
            await session.closed
        finally:
            self._sessions.remove(session)
        return socket

    async def connected(self, request: web.Request) -> web.Response:
        return web.json_response(len(self._of(request.query["subscription"])))

    async def push(self, request: web.Request) -> web.Response:
        """``{"subscription", "frames"}``, spread evenly → ``{"seconds"}`` from the first to the last answer."""
        wanted = await request.json()
        sessions = self._of(wanted["subscription"])
        each = wanted["frames"] // len(sessions)
        for session in sessions:
            session.load(self._next, each)
            self._next += each
        started = time.perf_counter()
        await asyncio.gather(*(session.push() for session in sessions))
        return web.json_response({"seconds": time.perf_counter() - started})

    def _of(self, subscription: str) -> list[Session]:
        return [session for session in self._sessions if session.subscription == subscription]


def caller(request: web.Request) -> tuple[str, str]:
    """Tenant and user of the Basic credentials."""
    user = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")[0]
    tenant, _, name = user.partition("/")
    return tenant, name


if __name__ == "__main__":
    web.run_app(Platform().application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
