"""The five verbs of Bayeux on sessions, and time passing over them: what both dialects share.

Seed 003, the "Real-time notification API", and the public Bayeux protocol. A session belongs to its user and to the
endpoints it began at; anybody else's is unknown. It lives while a connect is held, and two hours of silence beyond.
Nothing of it survives a restart of the platform.
"""

from __future__ import annotations

from emulator.clock import Clock
from emulator.cumulocity.directory import User
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.realtime.advice import HANDSHAKE, RETRY, Advice
from emulator.cumulocity.realtime.book import Book
from emulator.cumulocity.realtime.channels import CHANNEL, forbidden
from emulator.cumulocity.realtime.poll import Ending, Poll
from emulator.cumulocity.realtime.polls import Polls
from emulator.cumulocity.realtime.publishing import Publishing
from emulator.cumulocity.realtime.sessions import Batch, Family, Session, Sessions
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.knobs import Panel
from emulator.ledger import State

MAX_CHANNELS = 100_000  # of one session; more than any device or application has been seen to use


class UnknownClient(Exception):
    """No such session, or not this caller's."""


class NoChannel(Exception):
    """Not the name of a channel."""


class Denied(Exception):
    """The caller's roles do not reach that channel."""


class Bayeux:
    """``polls.on_alarm`` is told whenever ``next_moment`` may be earlier."""

    def __init__(
        self, templates: TemplateStore, inventory: Inventory, book: Book, clock: Clock, panel: Panel
    ) -> None:
        self._clock = clock
        self._panel = panel
        self.book = book
        self.sessions = Sessions()
        self.polls = Polls(self.sessions, clock, panel)
        self.publishing = Publishing(
            self.sessions, templates, inventory, book, clock, panel, self._wake, self._overflow
        )

    # verbs

    def handshake(self, caller: User, family: Family, x_id: str, *, reliable: bool) -> Session:
        session = Session(caller.tenant, caller.name, family, x_id, reliable, self._clock.now())
        self.sessions.add(session)
        self.polls.await_next(session)
        return session

    def session(self, caller: User, family: Family, id: str) -> Session:
        """The caller's session, heard of just now."""
        found = self.sessions.get(id)
        if found is None or (found.tenant, found.user, found.family) != (caller.tenant, caller.name, family):
            raise UnknownClient
        found.contact = self._clock.now()
        return found

    def subscribe(self, session: Session, channel: str, x_ids: tuple[str, ...], roles: frozenset[str]) -> None:
        if not CHANNEL.fullmatch(channel) or len(session.subscriptions) >= MAX_CHANNELS:
            raise NoChannel
        if forbidden(session.family, channel, roles):
            raise Denied
        self.sessions.subscribe(session, channel, x_ids)

    def disconnect(self, session: Session) -> None:
        self._remove(session, Ending.CLOSED, "disconnected")

    def hold(self, session: Session, hold_ms: int | None = None, *, mute: bool = False) -> Poll:
        """Begin a connect. It ends at once if something waits, also the very first one: it brings the advice."""
        advice = self.advice(session)
        timeout = advice.timeout if hold_ms is None else hold_ms
        poll = self.polls.begin(session, (timeout or 0) / 1000, mute=mute)
        if self.sessions.get(session.id) is not session:
            poll.end(Ending.CLOSED)  # by a row of the same request
        elif session.queue or session.told is None or self.advice_news(session):
            poll.end(Ending.NEWS)
        elif not timeout:
            poll.end(Ending.TIMEOUT)
        return poll

    def released(self, session: Session, poll: Poll) -> None:
        """The connect was answered, or its connection broke."""
        self.polls.end(session, poll)

    def confirm(self, session: Session, number: int) -> None:
        """The client has the batches up to this one."""
        self.book.ended(session.confirm(number), State.ACKNOWLEDGED, "confirmed")

    # answers

    def advice(self, session: Session) -> Advice:
        knobs = self._panel.now
        return session.advised.over(Advice(knobs.sr_timeout_ms, knobs.sr_interval_ms, RETRY))

    def advice_news(self, session: Session) -> Advice | None:
        """What its client is to be told now."""
        return self.advice(session).news_to(session.told)

    def advised(self, session: Session) -> None:
        """Its client was told all. A session that was told to begin anew is no more."""
        session.told = self.advice(session)
        if session.told.reconnect == HANDSHAKE:
            self._remove(session, Ending.GONE, "advised")

    def unwritten(self, session: Session, batch: Batch) -> None:
        """The platform noticed that the answer could not be written."""
        if self.sessions.get(session.id) is session:
            session.put_back(batch)
        else:
            self.book.ended(batch.deliveries, State.DROPPED, "gone")

    def written(self, session: Session, batch: Batch) -> None:
        """The answer went out whole, as far as anyone can tell."""
        self.book.written(batch.deliveries)
        if not session.reliable:
            self.book.ended(batch.deliveries, State.ACKNOWLEDGED, "written")

    def lost(self, session: Session, batch: Batch) -> None:
        """The platform believes that the answer went out; the emulator knows better."""
        self.book.written(batch.deliveries)
        if not session.reliable:
            self.book.ended(batch.deliveries, State.DROPPED, "lost")

    # what operators do

    def advise(self, session: Session, advice: Advice) -> None:
        """From now on for this session; told with the next answer, which a held connect is at once."""
        session.advised = advice.over(session.advised)
        self._wake(session)

    def expire(self, session: Session) -> None:
        self._remove(session, Ending.GONE, "expired")

    def cut(self, session: Session) -> bool:
        """Break the connection of a held connect; the session stays. Was one held?"""
        if session.poll is not None:
            session.poll.end(Ending.CUT)
        return session.poll is not None

    def restart(self) -> int:
        """All sessions are lost; how many those were."""
        sessions = list(self.sessions)
        for session in sessions:
            self._remove(session, Ending.RESTART, "restart")
        return len(sessions)

    def _overflow(self, session: Session) -> None:
        self._remove(session, Ending.GONE, "overflow")

    def _remove(self, session: Session, ending: Ending, outcome: str) -> None:
        self.sessions.remove(session)
        self.book.ended(session.waiting(), State.DROPPED, outcome)
        session.queue.clear()
        session.unconfirmed.clear()
        if session.poll is not None:
            session.poll.end(ending)

    def _wake(self, session: Session) -> None:
        if session.poll is not None:
            session.poll.end(Ending.NEWS)

    # time

    def next_moment(self) -> float | None:
        return self.polls.next_moment()

    def play(self) -> None:
        for session in self.polls.play():
            self.expire(session)
