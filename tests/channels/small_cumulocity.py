"""A small Cumulocity on a real socket: tokens, and consumers with their backlog, window and acknowledgements.

    with small_cumulocity() as platform:
        platform.publish("cold", "worker", [frame_body("1")])

It knows what the consumer protocol says and nothing of our code. Frames that are not acknowledged come again, in
order, on the next connection; an acknowledgement counts on the socket the frame came from only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

WINDOW = 1000
DEADLINE_S = 20.0
TENANT, USER, PASSWORD = "t402119", "service_cold", "pw-1"


@dataclass(eq=False)
class Queue:
    """A consumer's backlog, and what happened to it."""

    backlog: dict[int, str] = field(default_factory=dict)  # everything not acknowledged, by number
    acknowledged: list[int] = field(default_factory=list)
    clients: list[web.WebSocketResponse] = field(default_factory=list)
    transports: list[asyncio.Transport] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # `consumer` of each connection so far
    sent: int = 0
    most_unacknowledged: int = 0
    foreign: list[str] = field(default_factory=list)  # texts that acknowledge nothing
    closes: list[int | None] = field(default_factory=list)


class SmallCumulocity:
    """All methods may be called from the test's thread."""

    def __init__(self) -> None:
        self.queues: dict[tuple[str, str, str], Queue] = {}
        self.password = PASSWORD
        self.refuse_upgrades: list[int] = []  # statuses of the next upgrades
        self.refuse_tokens: list[int] = []
        self.tokens = 0  # made so far
        self.upgrades = 0  # asked for so far
        self.bodies: list[dict[str, Any]] = []  # of requests for tokens
        self.mute = False  # pings are not answered, and nothing is sent
        self.pings = 0
        self._live: dict[str, tuple[str, str, str]] = {}
        self._number = 0
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()

    def publish(self, subscription: str, subscriber: str, frames: list[str], tenant: str = TENANT) -> None:
        """Texts behind the acknowledgement's line."""

        def put() -> None:
            queue = self._queue((tenant, subscription, subscriber))
            for frame in frames:
                self._number += 1
                queue.backlog[self._number] = frame
            self._rouse()

        self._call(put)

    def queue(self, subscription: str, subscriber: str, tenant: str = TENANT) -> Queue:
        return self._queue((tenant, subscription, subscriber))

    def cut(self) -> None:
        """Break all connections without a word."""

        def abort() -> None:
            for queue in self.queues.values():
                for transport in queue.transports:
                    transport.abort()

        self._call(abort)

    def hang_up(self, code: int) -> None:
        """Close all connections in order."""

        def close() -> None:
            for queue in self.queues.values():
                for client in queue.clients:
                    self._loop.create_task(client.close(code=code))

        self._call(close)

    @property
    def connections(self) -> int:
        return sum(len(queue.clients) for queue in self.queues.values())

    def _queue(self, key: tuple[str, str, str]) -> Queue:
        return self.queues.setdefault(key, Queue())

    def _rouse(self) -> None:
        self._wake.set()
        self._wake = asyncio.Event()

    def _call(self, work: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(DEADLINE_S)

    # tokens

    async def token(self, request: web.Request) -> web.Response:
        if self.refuse_tokens:
            return web.json_response({"error": "x", "message": "refused"}, status=self.refuse_tokens.pop(0))
        tenant = self._caller(request.headers.get("Authorization", ""))
        if not tenant:
            return web.json_response({"error": "security/Unauthorized", "message": "Bad credentials"}, status=401)
        body = await request.json()
        self.bodies.append(body)
        self.tokens += 1
        token = f"eyJ.{self.tokens}secret.sig"
        self._live[token] = (tenant, body["subscription"], body["subscriber"])
        return web.json_response({"token": token})

    def _caller(self, header: str) -> str:
        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        tenant, _, name = user.partition("/")
        return tenant if (name, password) == (USER, self.password) else ""

    # the socket

    async def consume(self, request: web.Request) -> web.StreamResponse:
        self.upgrades += 1
        if self.refuse_upgrades:
            return web.Response(status=self.refuse_upgrades.pop(0))
        key = self._live.get(request.query.get("token", ""))
        if key is None:
            return web.Response(status=401)
        queue, client = self._queue(key), request.query.get("consumer", "")
        if queue.clients and not client:
            return web.Response(status=409)
        socket = web.WebSocketResponse(compress=False, autoping=False)
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        queue.transports = [request.transport]
        queue.clients.append(socket)
        queue.names.append(client)
        unacknowledged: dict[str, int] = {}
        sending = asyncio.create_task(self._send(socket, queue, unacknowledged))
        try:
            await self._receive(socket, queue, unacknowledged)
        finally:
            queue.clients.remove(socket)
            queue.closes.append(socket.close_code)
            sending.cancel()
        return socket

    async def _send(self, socket: web.WebSocketResponse, queue: Queue, unacknowledged: dict[str, int]) -> None:
        tried: set[int] = set()
        connection = len(queue.names)
        while True:
            wake = self._wake
            for number, frame in list(queue.backlog.items()):
                if number in tried or len(unacknowledged) >= WINDOW or self.mute:
                    continue
                tried.add(number)
                name = f"CPu{connection}BB{number}=="
                unacknowledged[name] = number
                queue.sent += 1
                queue.most_unacknowledged = max(queue.most_unacknowledged, len(unacknowledged))
                await socket.send_str(f"{name}\n{frame}")
            await wake.wait()

    async def _receive(self, socket: web.WebSocketResponse, queue: Queue, unacknowledged: dict[str, int]) -> None:
        async for message in socket:
            if message.type is WSMsgType.PING and not self.mute:
                self.pings += 1
                await socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                number = unacknowledged.pop(message.data, None)
                if number is None:
                    queue.foreign.append(message.data)
                    continue
                queue.backlog.pop(number, None)
                queue.acknowledged.append(number)
                self._rouse()

    # running

    def serve(self, ready: threading.Event, stop: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(ready, stop))
        self._loop.close()

    async def _serve(self, ready: threading.Event, stop: threading.Event) -> None:
        application = web.Application()
        application.add_routes(
            [web.post("/notification2/token", self.token), web.get("/notification2/consumer/", self.consume)]
        )
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", getattr(self, "port", 0))
        await site.start()
        assert runner.addresses
        self.port: int = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.01)
        await runner.cleanup()


@contextlib.contextmanager
def small_cumulocity() -> Iterator[SmallCumulocity]:
    platform, ready, stop = SmallCumulocity(), threading.Event(), threading.Event()
    thread = threading.Thread(target=platform.serve, args=(ready, stop))
    thread.start()
    assert ready.wait(DEADLINE_S)
    try:
        yield platform
    finally:
        stop.set()
        thread.join()


def frame_text(source: str, body: dict[str, Any], *, api: str = "measurements", action: str = "CREATE") -> str:
    """A frame without its first line."""
    return f"/{TENANT}/{api}/{source}\n{action}\n\n{json.dumps(body)}"


def timed(number: int, source: str = "5010") -> str:
    """A measurement, each number another fact."""
    at = f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
    return frame_text(source, {"id": str(number), "type": "c8y_Temperature", "time": at, "source": {"id": source}})


def untimed(value: str, source: str = "5010") -> str:
    """A managed object cut down to one fragment: nothing in it says when."""
    return frame_text(source, {"id": source, "acme_Mode": value}, api="managedobjects", action="UPDATE")


def wait_for(look: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Poll until ``look()`` is true; what it answered then."""
    until = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < until, f"not within {deadline_s} s"
        time.sleep(0.01)
    return found
