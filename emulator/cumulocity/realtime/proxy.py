"""What a SmartREST row stands for: a call of the platform's own REST API, made in the caller's name.

"SmartREST 1.0, introduction": a proxy in front of the REST API. So the call really goes through the emulator's front
door, with the credentials of the row's sender, and is refused or answered as any other.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import orjson

from emulator.cumulocity.realtime.templates import Request

DEADLINE_S = 30.0


class Failed(Exception):
    """The call behind a row was answered with an error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Proxy:
    """``base`` tells the address of the REST API when it is needed: it is known late."""

    def __init__(self, base: Callable[[], str]) -> None:
        self._base = base

    async def call(self, request: Request, authorization: str) -> object:
        """The answer's JSON, None if it has none; ``Failed`` for every status from 400 on."""
        if ".." in request.uri:
            raise Failed(404)  # templates reach the REST API, nothing beside it
        headers = {"Authorization": authorization, "Accept": request.accept or "application/json"}
        headers |= {"Content-Type": request.content_type} if request.content_type else {}
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                request.method, self._base() + request.uri, headers=headers, data=request.body.encode() or None
            ) as response,
        ):
            body = await response.read()
            if response.status >= 400:
                raise Failed(response.status)
        return orjson.loads(body) if body else None
