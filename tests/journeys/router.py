"""The platform's router: one address for all web instances that are healthy, request by request in turn."""

from __future__ import annotations

import asyncio
import threading
from io import BytesIO

from aiohttp import ClientConnectorError, ClientError, ClientSession, DummyCookieJar, web

MAX_BODY_BYTES = 64 * 2**20
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "te",
    "trailer",
    "upgrade",
}  # RFC 9110


class Router:
    """Runs from its making until ``close``; it has a thread of its own."""

    def __init__(self) -> None:
        self._ports: list[int] = []
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._listening = threading.Event()
        self.url = ""
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._listening.wait(10)

    def add(self, port: int) -> None:
        self._ports = [*self._ports, port]

    def remove(self, port: int) -> None:
        self._ports = [one for one in self._ports if one != port]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app)
        async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as self._client:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._listening.set()
            await self._stopping.wait()
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        """To the next instance; to another one only if it was not even reached, for then it has seen nothing."""
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        for port in self._in_turn():
            url = f"http://127.0.0.1:{port}{request.rel_url}"
            try:
                async with self._client.request(
                    request.method, url, data=BytesIO(body), headers=headers, allow_redirects=False
                ) as answer:
                    return web.Response(
                        status=answer.status,
                        body=await answer.read(),
                        headers={n: v for n, v in answer.headers.items() if n.lower() not in HOP_BY_HOP},
                    )
            except ClientConnectorError:
                continue
            except ClientError:
                return web.Response(status=502)
        return web.Response(status=503)

    def _in_turn(self) -> list[int]:
        ports = self._ports
        self._turn += 1
        first = self._turn % len(ports) if ports else 0
        return ports[first:] + ports[:first]
