"""One line per figure, as the contract names its members."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median


def line(
    bench: str, metric: str, value: float, unit: str, *, vs: str = "", ratio: float | None = None, n: int = 1
) -> None:
    """Print one figure. ``vs`` names what ``ratio`` compares with; ``n`` is how many rounds stand behind it."""
    shown = None if ratio is None else round(ratio, 3)
    figure = {"bench": bench, "metric": metric, "value": round(value, 3), "unit": unit}
    print(json.dumps(figure | {"vs": vs, "ratio": shown, "n": n}), flush=True)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of rounds that ran beside each other."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))
