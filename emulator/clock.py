"""The emulator's time: publishing windows, retries, retention, faults and key grace run by it.

One straight line: ``emulator = anchor + (wall - wall_anchor) * rate``. Rate 1 is real time, more is scaled, 0
stands still until advanced (``--clock virtual``). The anchor is kept in the state file, so a restart never turns
time back. Token times (``iat``, ``exp``) never come from here: verifiers live in real time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Wall = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One known point of the line. All three are enough to continue it after a restart."""

    emulator: float  # seconds since 1970 on the emulator's clock
    wall: float  # seconds since 1970 on the machine's
    rate: float  # emulator seconds per real second

    def at(self, wall: float) -> float:
        return self.emulator + (wall - self.wall) * self.rate


class Clock:
    """``now()`` never runs backwards; ``on_change`` is told each new anchor, to keep it."""

    def __init__(
        self,
        rate: float,
        *,
        resume: Anchor | None = None,
        wall: Wall = time.time,
        on_change: Callable[[Anchor], None] = lambda anchor: None,
    ) -> None:
        self._wall = wall
        self._on_change = on_change
        start = wall()
        self._set(Anchor(resume.at(start) if resume else start, start, rate))

    def _set(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._on_change(anchor)

    def now(self) -> float:
        """Seconds since 1970 as the emulator counts them."""
        return self._anchor.at(self._wall())

    @property
    def still(self) -> bool:
        """True if time moves only by ``advance_to``."""
        return self._anchor.rate == 0

    def advance_to(self, moment: float) -> None:
        """Jump forward; a moment already reached changes nothing."""
        if moment > self.now():
            self._set(Anchor(moment, self._wall(), self._anchor.rate))

    def real_seconds_until(self, moment: float) -> float | None:
        """Real seconds until the clock shows ``moment``; None if it will not get there by itself."""
        distance = moment - self.now()
        if distance <= 0:
            return 0.0
        return None if self.still else distance / self._anchor.rate
