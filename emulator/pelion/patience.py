"""Time limits on answers that real programs give: by the emulator's clock, yet never shorter than a program needs.

A standing clock leaps over hours in milliseconds, a scaled one makes 20 seconds 20 milliseconds. So a limit has
passed when the emulator's clock says so *and* the other side has had ``EMU_PELION_PATIENCE_S`` real seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from emulator.clock import Clock


@dataclass(frozen=True, slots=True)
class Limit:
    """``at``: emulator seconds; ``not_before``: the machine's monotonic seconds."""

    at: float
    not_before: float

    @classmethod
    def after(cls, clock: Clock, seconds: float, patience_s: float) -> Limit:
        return cls(clock.now() + seconds, time.monotonic() + min(patience_s, seconds))

    def passed(self, clock: Clock) -> bool:
        return clock.now() >= self.at and time.monotonic() >= self.not_before

    def real_seconds(self, clock: Clock) -> float | None:
        """Until it has passed by itself; None if the clock stands."""
        until = clock.real_seconds_until(self.at)
        return None if until is None else max(until, self.not_before - time.monotonic())


async def settled(waits: Iterable[tuple[asyncio.Future[Any], Limit]]) -> bool:
    """Wait for the first of these to end, or for the shortest patience to; False if none is worth waiting for."""
    left = {future: limit.not_before - time.monotonic() for future, limit in waits if not future.done()}
    patient = {future: seconds for future, seconds in left.items() if seconds > 0}
    if not patient:
        return False
    await asyncio.wait(patient, timeout=min(patient.values()), return_when=asyncio.FIRST_COMPLETED)
    return True
