"""When to try again: arithmetic only.

Documented: tries until a 2xx or four days after publication. Everything else here is assumed: the pauses grow
from ``retry_base_s`` by ``retry_factor`` up to ``retry_max_s``, and each delivery keeps one jitter of its own, so
that what happens in a long outage can be computed without trying.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from emulator.knobs import Knobs

LONGEST_RAMP = 65  # pauses that may differ; doublings by far enough for any knob, and too few for a float to overflow


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
        ramp = _ramp(self.base_s, self.factor, self.longest_s)
        return ramp[min(failed, len(ramp)) - 1] * self.jitter

    def through(self, at: float, failed: int, until: float) -> tuple[float, int]:
        """Attempts that all fail, from one at ``at``, while before ``until``.

        ``failed`` failed before. Answers when the next attempt would be, and how many failed by then.
        """
        ramp = _ramp(self.base_s, self.factor, self.longest_s)
        for pause in ramp[failed:-1]:
            if at >= until:
                return at, failed
            failed += 1
            at += pause * self.jitter
        if at < until:  # from here on all pauses are equal: no need to walk
            pause = ramp[-1] * self.jitter
            steps = max(1, -int((at - until) // pause))
            return at + steps * pause, failed + steps
        return at, failed


@cache  # a knob's few settings; asked for once an attempt, computed or made
def _ramp(base_s: float, factor: float, longest_s: float) -> tuple[float, ...]:
    """The pauses without jitter, up to the one that all later ones equal."""
    pauses = [min(longest_s, base_s)]
    while factor > 1 and pauses[-1] < longest_s and len(pauses) < LONGEST_RAMP:
        pauses.append(min(longest_s, base_s * factor ** len(pauses)))
    return tuple(pauses)
