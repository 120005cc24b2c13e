"""The long poll: hold a connect, send spaces, deliver, and keep the books of what became of it.

Seed 003 and the vendor's server: what cannot be written goes back into the queue; what was written is forgotten, or,
with acknowledgement, kept until it is confirmed. The faults of this platform strike here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from emulator.cumulocity.realtime.advice import UNKNOWN_CLIENT, Advice
from emulator.cumulocity.realtime.bayeux import Bayeux
from emulator.cumulocity.realtime.poll import Ending, Poll
from emulator.cumulocity.realtime.reply import Reply
from emulator.cumulocity.realtime.sessions import Batch, Session
from emulator.faults import Faults
from emulator.knobs import Panel

LOG = logging.getLogger("emulator")


class Outcome(NamedTuple):
    """What the answer to a connect says."""

    batch: Batch
    advice: Advice | None = None
    known: bool = True  # False: the session is gone


Form = Callable[[Outcome | Ending], bytes]  # an ending: there is nothing to say but that


class Connects:
    """``form`` makes the answer's body in the client's own dialect."""

    def __init__(self, bayeux: Bayeux, faults: Faults, panel: Panel) -> None:
        self._bayeux = bayeux
        self._faults = faults
        self._panel = panel

    async def answer(
        self, reply: Reply, session: Session, form: Form, hold_ms: int | None = None, *, told: bool = False
    ) -> web.StreamResponse:
        """Hold the connect as long as the advice says, or ``hold_ms``. ``told``: advice is wanted, news or not."""
        poll = self._bayeux.hold(session, hold_ms, mute=self._faults.strikes("sr-silent"))
        try:
            while spaces := await poll.next():
                await reply.spaces(spaces)
            return await self._end(reply, session, poll, form, told)
        except ConnectionError:
            LOG.info("action=poll_lost session=%s", session.id)
            return reply.cut()
        finally:
            self._bayeux.released(session, poll)

    async def _end(self, reply: Reply, session: Session, poll: Poll, form: Form, told: bool) -> web.StreamResponse:
        if poll.ending is Ending.CUT or poll.ending is Ending.RESTART and self._panel.now.sr_restart == "cut":
            return reply.cut()
        if poll.ending is Ending.GONE:
            return await reply.finish(form(Outcome(Batch(0, []), UNKNOWN_CLIENT, known=False)))
        if poll.ending is not None and poll.ending.silent:
            return await reply.finish(form(poll.ending))
        return await self._deliver(reply, session, form, told)

    async def _deliver(self, reply: Reply, session: Session, form: Form, told: bool) -> web.StreamResponse:
        batch = session.draw(empty_too=not session.x_id or self._panel.now.sr_ack_row_always)
        advice = self._bayeux.advice(session) if told else self._bayeux.advice_news(session)
        if self._strikes("sr-slow", batch):
            await asyncio.sleep(self._panel.now.slow_s)
        twice = Batch(batch.number, batch.parcels * 2) if self._strikes("sr-duplicate", batch) else batch
        body = form(Outcome(twice, advice))
        try:
            response = await self._write(reply, session, batch, body)
        except ConnectionError:
            self._bayeux.unwritten(session, batch)
            raise
        self._bayeux.advised(session)
        return response

    async def _write(self, reply: Reply, session: Session, batch: Batch, body: bytes) -> web.StreamResponse:
        if self._strikes("sr-cut-before", batch):
            reply.cut()
            raise ConnectionResetError("the fault sr-cut-before")
        if self._strikes("sr-lost", batch):
            self._bayeux.lost(session, batch)
            return reply.cut()
        if self._strikes("sr-cut", batch):
            response = await reply.break_off(body)
            self._bayeux.lost(session, batch)
            return response
        response = await reply.finish(body)
        self._bayeux.written(session, batch)
        return response

    def _strikes(self, fault: str, batch: Batch) -> bool:
        """Only answers that carry something are hit, each time they are sent anew by a draw of their own."""
        deliveries = batch.deliveries
        return bool(deliveries) and self._faults.strikes(fault, deliveries[0].id, deliveries[0].attempts)
