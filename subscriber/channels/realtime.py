"""A conversation of Cumulocity real-time over SmartREST as a channel: turn after turn, each stored before the next.

The session says what to send (``platforms.smartrest``); here it is sent and its answer read (``exchange``). What came
of a turn is stored together with what is to be remembered (``notebook``); only then the next request goes out, for it
tells the server to forget. A turn that failed ends the run, and the keeper comes again later: the session stays as it
is.

A planned stop gives up a poll that has brought nothing but heartbeats, and keeps the session: the next start goes on
with it. Only ``unregister`` ends it at the server. A session that the server has sent away stays stopped until a
person asks for a new one, or the worker starts anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from subscriber.channels import Desired
from subscriber.channels.admitter import Lane
from subscriber.channels.conversations import Conversation
from subscriber.channels.exchange import Exchange
from subscriber.channels.lines import Refused, renewed
from subscriber.channels.notebook import Notebook, open_notebook
from subscriber.channels.pace import Pace
from subscriber.channels.runner import Line, Shared
from subscriber.errors import PlatformUnavailable, SubscriberError, Unavailable
from subscriber.model import SMARTREST
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import Request, Turn

logger = logging.getLogger(__name__)

STORED_SECONDS = 5.5  # at a stop; the store gives a submission 5 s
SETTLED_SECONDS = 1.0  # a poll that is out for so long is held: the server has accepted the session
RESTART_LOOK_SECONDS = 10.0  # a person waits; of a thousand stopped sessions it is a hundred small reads a second
CREDENTIALS_REFUSED = "credentials_refused"  # reason of a turn

Patience = Callable[[Request], float]


def as_asked(request: Request) -> float:
    """How long a request's connection may be silent, in seconds."""
    return request.silence_seconds


class RealtimeChannel:
    """See ``channels.Channel``. ``refused`` is told when the platform does not accept a tenant's credentials."""

    def __init__(
        self,
        conversation: Conversation,
        shared: Shared,
        refused: Refused[Conversation],
        *,
        patience: Patience = as_asked,
        restart_look_seconds: float = RESTART_LOOK_SECONDS,
    ) -> None:
        self._conversation = conversation
        self._shared = shared
        self._refused = refused
        self._patience = patience
        self._restart_look_seconds = restart_look_seconds
        self._lane = Lane(SMARTREST)
        self._pace = Pace()
        self._notebook: Notebook | None = None  # from the first run on: later ones go on with it
        self._busy = False  # a turn is being stored
        self._stopping = False
        self._asked_before: bytes | None = None  # what had been asked for when the session stopped; None: not known

    @property
    def stored(self) -> int:
        return self._lane.stored

    def renew(self, source: Conversation) -> None:
        self._conversation = source

    async def run(self, connected: Callable[[], None]) -> None:
        notebook = await self._opened()
        notebook.session.abandon()  # what the last run may have left
        await self._restarted(notebook)
        await notebook.begin()
        talking = asyncio.create_task(self._talk(notebook, Standing(connected)))
        try:
            await asyncio.wait({talking})
            raise talking.result()
        except asyncio.CancelledError:
            await self._stop(notebook, talking)
            raise
        finally:
            talking.cancel()
            await asyncio.wait({talking})

    async def _opened(self) -> Notebook:
        if self._notebook is None:
            self._notebook = await open_notebook(self._conversation.realtime, self._shared, self._lane)
        return self._notebook

    async def _talk(self, notebook: Notebook, standing: Standing) -> SubscriberError:
        """Turn after turn until one fails; why it did."""
        while not self._stopping:
            turn = await self._turn(notebook, standing)
            self._tell_refused(turn)
            if turn.state is State.STOPPED:
                self._asked_before = None
                await self._asked(notebook)
            if turn.failure is None:
                continue
            if turn.failure.reason == CREDENTIALS_REFUSED:
                await self._refused(self._conversation)
            return turn.failure
        return PlatformUnavailable("the worker stops", reason="closed")

    async def _turn(self, notebook: Notebook, standing: Standing) -> Turn:
        """One request and its answer; returns when all that came of it is stored."""
        session, loop = notebook.session, asyncio.get_running_loop()
        request = session.request()
        assert request is not None  # none is out, and the session is not at rest
        polls = request.state is State.CONNECT
        await asyncio.sleep(max(request.wait_seconds, self._pace.seconds if polls else 0.0))
        shared = self._shared
        await shared.admitter.room(self._lane)
        exchange = Exchange(session, shared.outbound, shared.admitter, self._lane, self._patience, shared.now)
        asked_at = loop.time()
        try:
            turn = await exchange.run(self._conversation, request, standing.sent if polls else _nothing)
        finally:
            standing.over()
        if polls and turn.failure is None:
            self._pace.note(loop.time() - asked_at, len(turn.rows))
        self._busy = True
        try:
            await notebook.keep(turn, exchange.answered_at)
        finally:
            self._busy = False
        if turn.covered and turn.failure is None:
            standing.good()
        return turn

    def _tell_refused(self, turn: Turn) -> None:
        """The others go on without it, so it is told; it is asked for again in the next session."""
        if turn.refused is None:
            return
        place, (channel, error) = self._conversation.place, turn.refused
        self._shared.observer.channel_lost(SMARTREST, error.reason)
        extra = {"action": "subscription_refused", "tenant": str(place.tenant), "reason": error.reason}
        logger.warning("%s is not given to %s: %s", channel, place, error.detail, extra=extra)

    async def _restarted(self, notebook: Notebook) -> None:
        """Wait until a person asks for it, where the server wants no more of us."""
        if notebook.session.state is not State.STOPPED:
            return
        while not await self._asked(notebook):
            await asyncio.sleep(self._restart_look_seconds)
        notebook.session.restart()

    async def _asked(self, notebook: Notebook) -> bool:
        """Has a person asked since the last look? While the store is away that is not known, and it stays stopped."""
        try:
            asked = await notebook.asked_to_restart()
        except Unavailable:
            return False
        before, self._asked_before = self._asked_before, asked
        return before is not None and asked != before

    async def _stop(self, notebook: Notebook, talking: asyncio.Task[SubscriberError]) -> None:
        """Finish what has begun to come, if it does in time; then say that nothing is on its way."""
        self._stopping = True
        try:
            async with asyncio.timeout(STORED_SECONDS):
                if self._busy or not notebook.session.quiet:
                    await asyncio.wait({talking})
                talking.cancel()
                await asyncio.wait({talking})
                await notebook.rest()
        except TimeoutError:
            return  # it counts as a crash: where nothing is acknowledged, that is a possible gap


class Standing:
    """Says once that the conversation stands: a good answer has come, or a poll is held."""

    def __init__(self, connected: Callable[[], None]) -> None:
        self._connected = connected
        self._said = False
        self._timer: asyncio.TimerHandle | None = None

    def sent(self) -> None:
        """A poll goes out."""
        self._timer = asyncio.get_running_loop().call_later(SETTLED_SECONDS, self.good)

    def good(self) -> None:
        if not self._said:
            self._said = True
            self._connected()

    def over(self) -> None:
        """It is not out any more."""
        if self._timer is not None:
            self._timer.cancel()


def _nothing() -> None:
    """A request that is not held says nothing before its answer."""


def line(desired: Desired[Conversation], refused: Callable[[Conversation], None]) -> Line:
    """Keeps all conversations of the platform's tenants. ``refused``: see ``lines.renewed``."""
    return renewed(SMARTREST, desired, refused, RealtimeChannel)
