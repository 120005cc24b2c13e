"""A series as a picture: one path of bars in a box of fixed size, stretched to fit by the browser. Pure.

Words and numbers stand beside the picture, not in it, so that they stay readable on a phone and for who cannot see
it; each picture has a title and a description (WAI-ARIA, img role) and the same counts as a table below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10

WIDTH, HEIGHT = 600, 100  # units of the box
GAP = 0.12  # share of a bar's place that stays free
STEPS = (1, 2, 2.5, 5, 10)  # of an axis, times a power of ten


@dataclass(frozen=True, slots=True)
class Picture:
    """``path`` draws the bars, ``grid`` the line in the middle; ``top`` is the number at the upper edge."""

    path: str
    grid: str
    top: float


def picture(bars: Sequence[float]) -> Picture:
    """Bars from left to right, as high as their share of the axis."""
    top = axis_top(max(bars, default=0.0))
    place = WIDTH / max(1, len(bars))
    path = "".join(_bar(number * place, place, HEIGHT * bar / top) for number, bar in enumerate(bars) if bar > 0)
    return Picture(path=path, grid=f"M0 {HEIGHT / 2:g}H{WIDTH}", top=top)


def _bar(left: float, place: float, height: float) -> str:
    """At least a line, so that something that happened is never nothing to see."""
    height = max(1.5, height)
    free = place * GAP
    return f"M{left + free / 2:.2f} {HEIGHT}v-{height:.2f}h{place - free:.2f}v{height:.2f}z"


def axis_top(peak: float) -> float:
    """The next round number: 1, 2, 2.5, 5 or 10 times a power of ten, at least 1."""
    if peak <= 1:
        return 1.0
    power: float = 10.0 ** ceil(log10(peak) - 1)
    return next((step * power for step in STEPS if step * power >= peak), 10 * power)
