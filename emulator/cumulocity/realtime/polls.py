"""Held connects: one for each session at most, with a space every ten minutes, and an end.

Seed 003 has the spaces; how long a connect is held is the advice's to say. A second connect of a session ends the
first with an empty body. At most ten of a user are held for a channel, the oldest has to go ("real-time notification
API"). Times are the emulator's.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.clock import Clock
from emulator.cumulocity.realtime.poll import Ending, Poll
from emulator.cumulocity.realtime.sessions import Session, Sessions
from emulator.knobs import Panel

NEVER = float("inf")


class Polls:
    """``on_alarm`` is told whenever ``next_moment`` may be earlier."""

    def __init__(self, sessions: Sessions, clock: Clock, panel: Panel) -> None:
        self._sessions = sessions
        self._clock = clock
        self._panel = panel
        self.on_alarm: Callable[[], None] = lambda: None
        self._next = NEVER  # nothing is due before; it may be that nothing is due then either

    def begin(self, session: Session, hold_s: float, *, mute: bool = False) -> Poll:
        """Hold a connect of the session; an earlier one ends."""
        if session.poll is not None:
            session.poll.end(Ending.SUPERSEDED)
        now = self._clock.now()
        poll = Poll(now, now + self._panel.now.sr_heartbeat_s, now + hold_s, mute=mute)
        session.poll = poll
        session.connects += 1
        self._make_room(session)
        self._plan(min(poll.heartbeat_at, poll.ends_at))
        return poll

    def end(self, session: Session, poll: Poll) -> None:
        """It was answered, or broke: the session is idle from now on."""
        if session.poll is poll:
            session.poll = None
            session.contact = self._clock.now()
            self.await_next(session)

    def await_next(self, session: Session) -> None:
        """The session ends unless it connects in time."""
        self._plan(session.contact + self._panel.now.sr_session_idle_s)

    def _make_room(self, session: Session) -> None:
        limit = self._panel.now.sr_max_conn
        for channel in session.subscriptions if limit else ():
            others = self._sessions.at(session.tenant, session.family, channel)
            held = [one.poll for one in others if one.user == session.user and one.poll and not one.poll.ending]
            for poll in sorted(held, key=lambda poll: poll.began_at)[: max(0, len(held) - limit)]:
                poll.end(Ending.CROWDED)

    # time

    def _plan(self, moment: float) -> None:
        """Something is due then."""
        if moment < self._next:
            self._next = moment
            self.on_alarm()

    def next_moment(self) -> float | None:
        return None if self._next == NEVER else self._next

    def play(self) -> list[Session]:
        """Do what is due; the answer is the sessions whose time is over."""
        now = self._clock.now()
        if now < self._next:
            return []
        self._next = NEVER
        over = []
        for session in self._sessions:
            poll = session.poll
            if poll is None:
                ends_at = session.contact + self._panel.now.sr_session_idle_s
                if ends_at <= now:
                    over.append(session)
                else:
                    self._next = min(self._next, ends_at)
            elif poll.ending is None:
                self._beat(poll, now)
        return over

    def _beat(self, poll: Poll, now: float) -> None:
        if poll.ends_at <= now:
            poll.end(Ending.TIMEOUT)
            return
        if poll.heartbeat_at <= now:
            poll.beat(now + self._panel.now.sr_heartbeat_s)
        self._next = min(self._next, poll.heartbeat_at, poll.ends_at)
