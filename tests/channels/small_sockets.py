"""A WebSocket server in the test's own loop, and an `Outbound` that connects to it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from subscriber.channels.outbound import Outbound
from subscriber.channels.sockets import Socket

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def connected(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Socket]:
    """A socket whose far side does ``talk`` and then closes. ``tls``: the far side's."""

    async def answer(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await talk(socket)
        await socket.close()
        return socket

    async with serving(answer, tls) as url, outbound() as out:
        socket = await out.connect(url, "/", {})
        try:
            yield socket
        finally:
            await socket.close()


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """An address where every request is answered by ``answer``; with ``tls`` over https, as localhost."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(application, host="localhost", scheme="https") if tls else TestServer(application)
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def outbound() -> AsyncIterator[Outbound]:
    out = Outbound()
    try:
        yield out
    finally:
        await out.close()
