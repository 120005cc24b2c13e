"""One HTTP answer that may begin early: spaces first, the rest when there is something to say.

Seed 003: spaces go through an open long poll. Headers and status are out with the first one, and the length cannot
be known: HTTP/1.1 gets chunks, HTTP/1.0 the end of the connection. Writing to a client that has gone raises
``ConnectionError``, so that the caller can keep what it wanted to say.
"""

from __future__ import annotations

import asyncio

from aiohttp import web


class Reply:
    """Use it once: any number of ``spaces``, then ``finish``, ``break_off`` or ``cut``."""

    def __init__(self, request: web.Request, content_type: str) -> None:
        self._request = request
        self._response = web.StreamResponse(headers={"Content-Type": content_type})

    async def spaces(self, count: int) -> None:
        await self._write(b" " * count)

    async def finish(self, body: bytes) -> web.StreamResponse:
        if not self._response.prepared:
            self._response.content_length = len(body)
        await self._write(body)
        await self._response.write_eof()
        return self._response

    async def break_off(self, body: bytes) -> web.StreamResponse:
        """Half of it, then the connection breaks."""
        if not self._response.prepared:
            self._response.content_length = len(body)
        await self._write(body[: len(body) // 2])
        return self.cut(orderly=True)

    def cut(self, *, orderly: bool = False) -> web.StreamResponse:
        """The connection breaks: at once, or behind what was written."""
        transport = self._request.transport
        if transport is not None:
            transport.close() if orderly else transport.abort()
        return self._response if self._response.prepared else web.Response()

    async def _write(self, body: bytes) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if not self._response.prepared:
            await self._response.prepare(self._request)
        await self._response.write(body)
        await asyncio.sleep(0)  # what goes wrong at once is noticed at once
        if self._request.transport is None:
            raise ConnectionResetError("the client has gone")
