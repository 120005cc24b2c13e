"""Plays what is due: as time passes, or in leaps when the clock is advanced.

A player is a platform's part that acts by the emulator's clock. ``advance`` goes from one due moment to the next,
lets every player finish there, and so fires inside the leap what would have fired in it. What falls into a
declared outage is computed by the player, so four days of outage take as long as their arithmetic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from emulator.clock import Clock

LOG = logging.getLogger("emulator")
REST_S = 0.01  # real seconds until what is still due after its turn is tried again: it must not spin
STEP_S = 1.0  # an advance stops at most once per emulator second unless told another step, however much is due in it


class Player(Protocol):
    """A part of a platform that acts by the clock."""

    def next_moment(self) -> float | None:
        """When it wants to act next; None if nothing is planned."""

    def next_leap(self) -> float | None:
        """The same, leaving out what it can compute afterwards (attempts inside a declared outage)."""

    def play(self) -> None:
        """Begin everything due now."""

    async def settle(self) -> None:
        """Return when everything due now is done."""


class Timekeeper:
    """One per emulator. ``nudge`` when something was planned earlier than before."""

    def __init__(self, clock: Clock, players: Sequence[Player]) -> None:
        self._clock = clock
        self._players = players
        self._nudged = asyncio.Event()
        self._one_advance = asyncio.Lock()

    def nudge(self) -> None:
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled: play whatever falls due as time passes."""
        while True:
            self._nudged.clear()
            self._play()
            moments = [moment for player in self._players if (moment := player.next_moment()) is not None]
            pause = self._clock.real_seconds_until(min(moments)) if moments else None
            try:
                async with asyncio.timeout(REST_S if pause == 0 else pause):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    def _play(self) -> None:
        for player in self._players:
            try:
                player.play()
            except Exception:  # top of a task: time must go on
                LOG.exception("action=play_failed")

    async def advance(self, seconds: float, step_s: float = STEP_S) -> float:
        """Leap; the answer is the new time. Advances queue behind each other.

        ``step_s``: it stops at most once in so many emulator seconds, and what falls due in between comes at once.
        """
        async with self._one_advance:
            target = self._clock.now() + seconds
            await self._settle()
            while (moment := self._next_leap()) is not None and moment < target:
                self._clock.advance_to(min(target, max(moment, self._clock.now() + step_s)))
                await self._settle()
            self._clock.advance_to(target)
            await self._settle()
            self.nudge()
            return self._clock.now()

    def _next_leap(self) -> float | None:
        moments = [moment for player in self._players if (moment := player.next_leap()) is not None]
        return min(moments) if moments else None

    async def _settle(self) -> None:
        for player in self._players:
            player.play()
            await player.settle()
