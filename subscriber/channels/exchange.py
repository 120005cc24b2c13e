"""One request of a SmartREST session, and its answer into the session as it comes.

A poll is held for hours and only spaces come meanwhile; who hears nothing for as long as the request says gives the
connection up. While the store is behind, or too many large answers are being read, reading waits, and silence means
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from subscriber.channels.admitter import Admitter, Lane
from subscriber.channels.conversations import Conversation
from subscriber.channels.outbound import LARGE_BYTES, Outbound, Stream
from subscriber.errors import PlatformUnavailable
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import Request, Turn


class Exchange:
    """Of one session. ``patience`` says how long a request's connection may be silent, in seconds.

    ``answered_at`` is when the answer began to come: large ones take their time, and what is published meanwhile is
    not in them.
    """

    def __init__(
        self,
        session: Session,
        outbound: Outbound,
        admitter: Admitter,
        lane: Lane,
        patience: Callable[[Request], float],
        now: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._outbound = outbound
        self._admitter = admitter
        self._lane = lane
        self._patience = patience
        self._now = now
        self._sent = False
        self.answered_at = now()

    async def run(self, conversation: Conversation, request: Request, sent: Callable[[], None]) -> Turn:
        """What came of it. ``sent`` is called when it is on its way.

        Polls are not held up by other channels' connecting: they are what this is for.
        """
        if request.state is State.CONNECT:
            return await self._ask(conversation, request, sent)
        async with self._outbound.gate:
            return await self._ask(conversation, request, sent)

    async def _ask(self, conversation: Conversation, request: Request, sent: Callable[[], None]) -> Turn:
        self._sent = False

        def note() -> None:
            self._sent = True
            sent()

        posted = ApiRequest(method="POST", path=request.path, headers=request.headers, body=request.body)
        seconds = self._patience(request)
        try:
            async with (
                asyncio.timeout(seconds) as silence,
                self._outbound.poll(conversation.base_url, posted, conversation.user.authorization, note) as stream,
            ):
                return await self._read(stream, silence, seconds)
        except TimeoutError:
            self.answered_at = self._now()
            return self._broken(f"nothing was heard for {seconds:.0f} s")
        except PlatformUnavailable as error:
            self.answered_at = self._now()
            return self._broken("the connection broke" if self._sent else error.detail)

    def _broken(self, detail: str) -> Turn:
        return self._session.broken(detail) if self._sent else self._session.unreachable(detail)

    async def _read(self, stream: Stream, silence: asyncio.Timeout, seconds: float) -> Turn:
        loop, held, large = asyncio.get_running_loop(), 0, False
        quiet = True
        async with AsyncExitStack() as stack:
            while piece := await stream.piece():
                silence.reschedule(None)
                if not self._session.receive(piece):
                    break
                if quiet and not self._session.quiet:
                    self.answered_at, quiet = self._now(), False
                held += len(piece)
                if held > LARGE_BYTES and not large:
                    await stack.enter_async_context(self._outbound.large)
                    large = True
                await self._admitter.room(self._lane)
                silence.reschedule(loop.time() + seconds)
            silence.reschedule(None)
            if quiet:
                self.answered_at = self._now()
            if large:  # so long the loop must not stand still
                return await asyncio.to_thread(self._session.end, stream.status, stream.retry_after_seconds)
            return self._session.end(stream.status, stream.retry_after_seconds)
