"""A small server of SmartREST real-time on a real socket: handshake, subscriptions, long polls.

    with small_realtime() as platform:
        platform.publish("/5010", "500,60001,5010")

It knows what the documents say and nothing of our code. Rows wait in a session's queue; a poll takes them all. With
``acknowledged`` answers are numbered and come again until a poll names their number.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

DEADLINE_S = 20.0
TENANT, USER, PASSWORD, X_ID = "t402119", "service_cold", "pw-1", "com.acme.gw-v3"
PATH = "/notification/operations"


@dataclass(eq=False)
class Client:
    """A session."""

    acknowledged: bool
    channels: set[str] = field(default_factory=set)
    queue: list[str] = field(default_factory=list)
    unconfirmed: list[tuple[int, list[str]]] = field(default_factory=list)
    batch: int = 0
    polls: int = 0  # out now
    greeted: bool = False  # the first poll is answered at once, with advice


class SmallRealtime:
    """All methods may be called from the test's thread."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.acknowledged = True
        self.unknown_client = "86,,0,handshake"  # what it says to one, but for polls
        self.password = PASSWORD
        self.templates = {X_ID}
        self.hold_seconds = 30.0
        self.heartbeat_seconds = 30.0
        self.mute = False  # polls are held, and nothing is ever sent
        self.refuse_channels: set[str] = set()
        self.statuses: list[int] = []  # of the next polls
        self.answers: list[bytes] = []  # the next polls are answered so, at once
        self.cut = 0  # so many answers to polls break off in the middle
        self.requests: list[bytes] = []  # bodies, without those of polls
        self.headers: list[str] = []  # X-Id of every request
        self.polls = 0  # answered so far
        self.most_polls = 0  # of one client at a time
        self.lost: list[str] = []  # rows of answers that broke off and will not come again
        self._number = 0
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()

    def publish(self, channel: str, *rows: str) -> None:
        def put() -> None:
            for client in self.clients.values():
                if channel in client.channels:
                    client.queue += rows
            self._rouse()

        self._call(put)

    def restart(self) -> None:
        """All sessions are forgotten, held polls break."""

        def forget() -> None:
            self.clients.clear()
            self._rouse()

        self._call(forget)

    def answer(self, *bodies: bytes) -> None:
        """Answer held polls and the next ones so."""

        def put() -> None:
            self.answers += bodies
            self._rouse()

        self._call(put)

    def rouse(self) -> None:
        """Held polls look again at what is to be done."""
        self._call(self._rouse)

    @property
    def held(self) -> int:
        """Polls that are out now."""
        return sum(client.polls for client in list(self.clients.values()))

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

    # requests

    async def templates_of(self, request: web.Request) -> web.StreamResponse:
        x_id, body = request.headers.get("X-Id", ""), await request.read()
        self.requests.append(body)
        if not self._welcome(request):
            return web.Response(status=401)
        if body.startswith(b"11"):
            self.templates.add(x_id)
        return web.Response(text="20,77120" if x_id in self.templates else '40,"No template for this X-ID."')

    async def converse(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.headers.append(request.headers.get("X-Id", ""))
        if not self._welcome(request):
            return web.Response(status=401)
        if body.startswith(b"83"):
            return await self._poll(request, body.decode().split(","))
        self.requests.append(body)
        return web.Response(text="\n".join(filter(None, map(self._row, body.decode().split("\n")))))

    def _welcome(self, request: web.Request) -> bool:
        given = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        return given == f"{TENANT}/{USER}:{self.password}"

    def _row(self, row: str) -> str:
        id, *values = row.split(",")
        if id == "80":
            return self._handshake(values)
        client = self.clients.get(values[0])
        if client is None:
            return self.unknown_client
        if id == "81":
            if values[1] in self.refuse_channels:
                return "50,1,403"
            client.channels.add(values[1])
        elif id == "82":
            client.channels.discard(values[1])
        else:
            del self.clients[values[0]]
            self._rouse()
        return ""

    def _handshake(self, values: list[str]) -> str:
        if values and not self.acknowledged:
            return "45,1,no arguments supported"
        self._number += 1
        name = f"c{self._number}x{'k' * 18}"
        self.clients[name] = Client(acknowledged=bool(values))
        return name

    async def _poll(self, request: web.Request, values: list[str]) -> web.StreamResponse:
        client = self.clients.get(values[1])
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        if client is None:
            return web.Response(text="86,,0,handshake")
        confirmed = int(values[2]) if len(values) > 2 else 0
        again = [row for number, rows in client.unconfirmed if number > confirmed for row in rows]
        client.unconfirmed.clear()
        client.queue = again + client.queue
        client.polls += 1
        self.most_polls = max(self.most_polls, client.polls)
        try:
            return await self._hold(request, values[1], client)
        finally:
            client.polls -= 1
            self.polls += 1

    async def _hold(self, request: web.Request, name: str, client: Client) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        loop = asyncio.get_running_loop()
        hold, client.greeted = self.hold_seconds if client.greeted else 0.0, True
        until, beat = loop.time() + hold, loop.time() + self.heartbeat_seconds
        while not self.answers and (self.mute or not client.queue) and self.clients.get(name) is client and hold:
            wake = self._wake
            pause = min(until, beat) - loop.time()
            if pause <= 0 and not self.mute:
                if loop.time() >= until:
                    break
                beat = loop.time() + self.heartbeat_seconds
                if not response.prepared:
                    await response.prepare(request)
                await response.write(b" ")
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self.mute else pause):
                    await wake.wait()
        if self.clients.get(name) is not client:
            assert request.transport is not None
            request.transport.abort()
            return response
        if not response.prepared:
            await response.prepare(request)
        return await self._send(request, response, client)

    async def _send(self, request: web.Request, response: web.StreamResponse, client: Client) -> web.StreamResponse:
        rows, client.queue = client.queue, []
        if self.answers:
            client.queue = rows
            await response.write(self.answers.pop(0))
            return response
        client.batch += 1
        if client.acknowledged:
            client.unconfirmed.append((client.batch, rows))
            rows = [*rows, f"88,{client.batch}"]
        body = "".join(f"{row}\n" for row in rows).encode()
        if self.cut and len(rows) > client.acknowledged:
            self.cut -= 1
            await response.write(body[: len(body) // 2])
            if not client.acknowledged:
                whole = body[: len(body) // 2].decode().rpartition("\n")[0].split("\n")
                self.lost += [row for row in rows if row not in whole]
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(body)
        return response

    # running

    def serve(self, ready: threading.Event, stop: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(ready, stop))
        self._loop.close()

    async def _serve(self, ready: threading.Event, stop: threading.Event) -> None:
        application = web.Application()
        application.add_routes([web.post("/s", self.templates_of), web.post(PATH, self.converse)])
        application.router.add_post("/notification/realtime", self.converse)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.01)
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@contextlib.contextmanager
def small_realtime() -> Iterator[SmallRealtime]:
    platform, ready, stop = SmallRealtime(), threading.Event(), threading.Event()
    thread = threading.Thread(target=platform.serve, args=(ready, stop))
    thread.start()
    assert ready.wait(DEADLINE_S)
    try:
        yield platform
    finally:
        stop.set()
        thread.join()
