"""A server of SmartREST real-time that does nothing but tell rows: ``python -m bench.telling PORT``.

Answers are made before the clock starts, and a session has the next one as soon as it asks. To its clients it is the
real thing: handshake, subscription, numbered answers, polls that are held while there is nothing to tell.

``POST /_tell`` tells so many rows, spread over all sessions of a name, and answers when the last one is confirmed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from itertools import count

from aiohttp import web

ROWS = 100  # of one answer
HOLD_SECONDS = 60.0


class Session:
    def __init__(self, x_id: str) -> None:
        self.name = x_id.partition("-")[0]
        self.answers: deque[bytes] = deque()
        self.told = 0  # number of the last answer
        self.confirmed = 0
        self.wake = asyncio.Event()


class Server:
    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.ids = count(10**20)
        self.facts = count(1)
        self.unconfirmed = 0  # answers that are still to be told and confirmed
        self.over = asyncio.Event()

    async def templates(self, request: web.Request) -> web.Response:
        return web.Response(text="20,1")

    async def converse(self, request: web.Request) -> web.Response:
        id, *values = (await request.text()).split(",")
        if id == "80":
            name = f"s{next(self.ids)}"
            self.sessions[name] = Session(request.headers["X-Id"])
            return web.Response(text=name)
        session = self.sessions.get(values[0])
        if session is None:
            return web.Response(text="86,,0,handshake")
        return await self.poll(session, values) if id == "83" else web.Response()

    async def poll(self, session: Session, values: list[str]) -> web.Response:
        confirmed = int(values[1]) if len(values) > 1 else 0
        self.unconfirmed -= max(0, confirmed - max(session.confirmed, 1))  # the first answer carries nothing
        session.confirmed = confirmed
        if self.unconfirmed == 0:
            self.over.set()
        if session.told == 0:
            session.told = 1
            return web.Response(body=b"86,60000,0,retry\n88,1")
        if not session.answers:
            session.wake.clear()
            try:
                async with asyncio.timeout(HOLD_SECONDS):
                    await session.wake.wait()
            except TimeoutError:
                return web.Response()
        session.told += 1
        return web.Response(body=session.answers.popleft() + b"88,%d" % session.told)

    async def tell(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        sessions = self.named(wanted["name"])
        each = max(1, wanted["rows"] // len(sessions) // ROWS)
        for session in sessions:
            session.answers.extend(self.answer() for _ in range(each))
        self.unconfirmed = each * len(sessions)
        self.over.clear()
        begun = time.perf_counter()
        for session in sessions:
            session.wake.set()
        await self.over.wait()
        seconds = time.perf_counter() - begun
        return web.json_response({"seconds": seconds, "rows": each * len(sessions) * ROWS})

    async def connected(self, request: web.Request) -> web.Response:
        return web.json_response(sum(one.told > 0 for one in self.named(request.query["name"])))

    def named(self, name: str) -> list[Session]:
        return [session for session in self.sessions.values() if session.name == name]

    def answer(self) -> bytes:
        rows = [
            f"500,{number},{5000 + number % 100},ACTIVE,2026-03-02T12:00:00.{number % 1000:03d}Z,Above -15 C\n"
            for number in (next(self.facts) for _ in range(ROWS))
        ]
        return "".join(rows).encode()


def main(port: int) -> None:
    server, application = Server(), web.Application()
    application.add_routes(
        [
            web.post("/s", server.templates),
            web.post("/notification/realtime", server.converse),
            web.post("/_tell", server.tell),
            web.get("/_connected", server.connected),
        ]
    )
    web.run_app(application, host="127.0.0.1", port=port, print=lambda _: None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
