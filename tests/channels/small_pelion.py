"""A small Device Management on a real socket: what the emulator does not say is said here, frame by frame."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import WSMsgType, web

Play = Callable[[web.WebSocketResponse], Awaitable[None]]
DEADLINE_S = 20.0


async def read_on(socket: web.WebSocketResponse) -> None:
    """Say nothing until the client is gone."""
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass


class SmallPelion:
    """One application. ``play`` is what happens on each connection; ``refusals`` are statuses instead of one."""

    def __init__(self) -> None:
        self.play: Play = read_on
        self.refusals: list[int] = []
        self.offers: list[tuple[str, str]] = []  # Authorization and subprotocols of each handshake
        self.created = 201
        self.registered = 0
        self.url = ""

    async def put(self, request: web.Request) -> web.Response:
        self.registered += 1
        status, self.created = self.created, 200
        return web.json_response(await request.json() if status == 200 else {}, status=status)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        self.offers.append((request.headers.get("Authorization", ""), offered))
        if self.refusals and (status := self.refusals.pop(0)):
            return web.Response(status=status)
        socket = web.WebSocketResponse(protocols=("wss",), autoping=False, autoclose=False)
        await socket.prepare(request)
        await self.play(socket)
        return socket


@contextmanager
def small_pelion() -> Iterator[SmallPelion]:
    """Running, in a thread of its own."""
    platform, ready, loop = SmallPelion(), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_put("/v2/notification/websocket", platform.put)
        app.router.add_get("/v2/notification/websocket-connect", platform.connect)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        return runner

    def serve() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(DEADLINE_S)
    try:
        yield platform
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
