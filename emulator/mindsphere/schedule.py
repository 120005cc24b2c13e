"""When to try again: arithmetic only.

Documented: tries until a 2xx or four days after publication. Everything else here is assumed: the pauses grow
from ``retry_base_s`` by ``retry_factor`` up to ``retry_max_s``, and each delivery keeps one jitter of its own, so
that what happens in a long outage can be computed without trying.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.knobs import Knobs


@dataclass(frozen=True, slots=True)
class Retry:
    """The pauses of one delivery; ``jitter`` is its share of a pause, e.g. 0.9 to 1.1."""

    base_s: float
    factor: float
    longest_s: float
    jitter: float

    @classmethod
    def of(cls, knobs: Knobs, draw: float) -> Retry:
        """``draw`` in [0, 1) places the delivery between the shortest and the longest jitter."""
        jitter = 1 + knobs.retry_jitter * (2 * draw - 1)
        return cls(knobs.retry_base_s, knobs.retry_factor, knobs.retry_max_s, jitter)

    def pause_s(self, failed: int) -> float:
        """Seconds between the n-th failed attempt (from 1) and the next."""
        # the exponent is bounded: a float overflows at 1024 doublings
        grown = self.base_s * self.factor ** min(failed - 1, 64) if self.factor > 1 else self.base_s
        return min(self.longest_s, grown) * self.jitter

    def through(self, at: float, failed: int, until: float) -> tuple[float, int]:
        """Attempts that all fail, from one at ``at``, while before ``until``.

        ``failed`` failed before. Answers when the next attempt would be, and how many failed by then.
        """
        while at < until:
            failed += 1
            pause = self.pause_s(failed)
            if pause == self.longest_s * self.jitter:  # from here on all pauses are equal: no need to walk
                steps = max(1, -int((at - until) // pause))
                failed += steps - 1
                at += steps * pause
            else:
                at += pause
        return at, failed
