"""One held connect: it waits for spaces to write, and for its end.

Seed 003: the platform sends a space through an open long poll so that either side notices a lost connection.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum


class Ending(StrEnum):
    """Why a poll is answered."""

    NEWS = "news"  # there is something to deliver or to tell
    TIMEOUT = "timeout"
    SUPERSEDED = "superseded"  # by the session's next connect
    CROWDED = "crowded"  # too many of this user for a channel
    CLOSED = "closed"  # the session was disconnected
    GONE = "gone"  # the session is no more
    RESTART = "restart"  # the platform is
    CUT = "cut"  # the connection breaks

    @property
    def silent(self) -> bool:
        """Is the answer an empty body?"""
        return self in (Ending.SUPERSEDED, Ending.CLOSED, Ending.RESTART)


class Poll:
    """One held connect."""

    def __init__(self, began_at: float, heartbeat_at: float, ends_at: float, *, mute: bool = False) -> None:
        self.began_at = began_at
        self.mute = mute  # neither spaces nor an answer of its own: the other end of a broken line
        self.heartbeat_at = heartbeat_at
        self.ends_at = ends_at
        self.ending: Ending | None = None
        self._spaces = 0
        self._awake = asyncio.Event()

    def end(self, ending: Ending) -> None:
        """The first reason stands."""
        if self.mute and ending in (Ending.NEWS, Ending.TIMEOUT):
            return
        self.ending = self.ending or ending
        self._awake.set()

    def beat(self, next_at: float) -> None:
        """A space is due."""
        self.heartbeat_at = next_at
        self._spaces += not self.mute
        self._awake.set()

    async def next(self) -> int:
        """Wait for something to do: so many spaces, or none and ``ending`` says the rest."""
        while not self._spaces and self.ending is None:
            await self._awake.wait()
            self._awake.clear()
        spaces, self._spaces = self._spaces, 0
        return spaces
