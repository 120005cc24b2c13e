"""One connected client of a WebSocket channel: what is known of it, and how it is told to go.

Close codes are those of the API contract; 1006 never travels, it stands for a connection that breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from emulator.pelion.channels import Channel
from emulator.pelion.patience import Limit

NORMAL, GOING_AWAY, ABNORMAL, POLICY, UNEXPECTED, RESTART = 1000, 1001, 1006, 1008, 1011, 1012
CODES = (NORMAL, GOING_AWAY, ABNORMAL, POLICY, UNEXPECTED, RESTART)
CLOSE_S = 2.0  # real seconds a client has to answer a close frame


@dataclass(eq=False, slots=True)
class Socket:
    """One connected client."""

    ws: web.WebSocketResponse
    request: web.Request
    channel: Channel
    key: str
    active_at: float  # when something was written last; at first the opening
    ping_at: float
    ping: bytes | None = None  # not yet answered
    limit: Limit | None = None  # for the answer to it
    pong: asyncio.Future[None] | None = None
    sending: asyncio.Task[None] | None = None
    sending_limit: Limit | None = None
    timer: asyncio.TimerHandle | None = None  # in running time, for that limit
    ended: bool = False  # by this side


async def quietly(work: Coroutine[Any, Any, None]) -> None:
    """The client may be gone already."""
    with contextlib.suppress(ConnectionError, RuntimeError):
        await work


async def farewell(socket: Socket, code: int, message: str) -> None:
    if code != ABNORMAL:
        with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
            async with asyncio.timeout(2 * CLOSE_S):  # a client that reads nothing blocks the frame too
                await socket.ws.close(code=code, message=message.encode())
    if socket.request.transport is not None:
        socket.request.transport.abort()
