"""A road between two programs that can be blocked: a TCP forwarder on loopback.

    cut()      every connection breaks at once
    freeze()   connections stay open on both sides, and nothing passes any more: half-open, as after a lost router
    thaw()     frozen connections break; new ones pass as before

A connection that is made while others are frozen passes. The side that is still open when the other one gives up a
frozen connection is left alone until ``thaw``, as a platform is that was never told.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

READ_BYTES = 65_536
START_SECONDS = 10.0


class Pair:
    """One connection, in both directions."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.passing = asyncio.Event()
        self.passing.set()

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.passing.set()


class Tunnel:
    """To a port of this machine. Runs from its making until ``close``; it has a thread of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: set[Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._listening = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._listening.wait(START_SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._do(self._cut)

    def freeze(self) -> None:
        self._do(lambda: [pair.passing.clear() for pair in self._pairs])

    def thaw(self) -> None:
        self._do(lambda: [pair.abort() for pair in list(self._pairs) if not pair.passing.is_set()])

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    def _do(self, act: Callable[[], object]) -> None:
        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result(START_SECONDS)

    def _cut(self) -> None:
        for pair in list(self._pairs):
            pair.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopping.wait()
        server.close()
        self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=START_SECONDS)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = Pair(writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(_copy(pair, reader, far_writer), _copy(pair, far_reader, writer))
        finally:
            self._pairs.discard(pair)
            pair.abort()


async def _copy(pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of one side, which ends the other once the way is free."""
    data = b"."
    with suppress(OSError):
        while data:
            data = await reader.read(READ_BYTES)
            await pair.passing.wait()
            if data and not writer.is_closing():
                writer.write(data)
                await writer.drain()
    await pair.passing.wait()
    writer.close()
