"""Ten times as many callers as fill the server: what is acknowledged is stored, and the work goes on as fast.

Peak and overload take turns, so that a slow minute of the machine is everybody's. Afterwards a single caller tells
how long it takes until an answer comes as soon as it did before.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median, quantiles

from proof.callers import Load, deliver
from proof.front import Front, front
from proof.report import Chapter

PEAK_CALLERS = 32  # fill two processes: more make it no faster (the accept benchmark's number)
TIMES = 10
AHEAD = 10  # deliveries that each of them sends without an answer, in the third stretch of a round
ROUNDS = 6
SECONDS = 5.0  # of each stretch
QUIET_SECONDS = 1.0
GOODPUT = 0.9  # of the peak
NORMAL_SECONDS = 30.0  # until answers come as before
NORMAL_TIMES = 2.0  # of the latency before; what one caller sees on a quiet machine varies by half
NOISE_SECONDS = 0.005  # below it no latency is worth telling from another

WHAT = f"""\
The product's own gunicorn with SQLite, and callers that deliver again the moment they are answered: {PEAK_CALLERS},
which fill it; {TIMES} times as many; and these with {AHEAD} deliveries each under way at a time: in turns, on the
processors that the callers' own work is done on too. Every acknowledged asset is looked for in the inbox afterwards,
and is there once. Goodput is judged in the full run only: in a second of a busy machine a ratio says little."""


def run(scale: float, **variables: str) -> Chapter:
    """``variables``: more of them for the server."""
    rounds, seconds = max(1, round(ROUNDS * scale)), max(1.0, SECONDS * scale)
    with tempfile.TemporaryDirectory() as folder, front(Path(folder), **variables) as server:
        _stretch(server, "warm", PEAK_CALLERS, seconds)
        before = _stretch(server, "before", 1, QUIET_SECONDS)
        peaks, crowds, heaps = list[Load](), list[Load](), list[Load]()
        for number in range(rounds):
            peaks.append(_stretch(server, f"peak-{number}", PEAK_CALLERS, seconds))
            crowds.append(_stretch(server, f"crowd-{number}", PEAK_CALLERS * TIMES, seconds))
            heaps.append(_stretch(server, f"heap-{number}", PEAK_CALLERS * TIMES, seconds, AHEAD))
        recovered, after = _recovery(server, median(before.latencies))
        loads = [before, *peaks, *crowds, *heaps, *after]
        broken = _unkept(server, loads)
    ratios = {"more callers": _goodput(crowds, peaks), "more under way from each": _goodput(heaps, peaks)}
    if scale >= 1:
        broken += [f"goodput, {name}: {ratio} of the peak" for name, ratio in ratios.items() if ratio < GOODPUT]
    if recovered > NORMAL_SECONDS:
        broken.append(f"answers did not come as before within {NORMAL_SECONDS:.0f} s")
    return Chapter(
        title="Overload",
        what=WHAT,
        tried=sum(len(load.acknowledged) + load.refused.total() for load in loads),
        unit="deliveries",
        figures=_figures(peaks, crowds + heaps)
        | {f"goodput to peak, {name}": ratio for name, ratio in ratios.items()}
        | {
            "latency of one caller before, p50 ms": round(median(before.latencies) * 1000, 1),
            "back to normal after, s": round(recovered, 1),
        },
        broken=broken,
        unproven="More callers than connections (2,000 a process) wait for the kernel; other machines' ratios.",
    )


def _stretch(server: Front, name: str, callers: int, seconds: float, ahead: int = 1) -> Load:
    return deliver(server.server.port, name, server.delivery, callers=callers, ahead=ahead, seconds=seconds)


def _goodput(loads: list[Load], peaks: list[Load]) -> float:
    """The median share of the peak beside it."""
    return round(median(load.rate / peak.rate for load, peak in zip(loads, peaks, strict=True)), 2)


def _recovery(server: Front, normal: float) -> tuple[float, list[Load]]:
    """Seconds until one caller's answers come as before, or more than ``NORMAL_SECONDS``; and its stretches."""
    ended, loads = time.monotonic(), list[Load]()
    while (passed := time.monotonic() - ended) <= NORMAL_SECONDS:
        loads.append(_stretch(server, f"after-{len(loads)}", 1, QUIET_SECONDS))
        if loads[-1].latencies and median(loads[-1].latencies) <= max(NORMAL_TIMES * normal, NOISE_SECONDS):
            break
    return passed, loads


def _unkept(server: Front, loads: Iterable[Load]) -> list[str]:
    """Each acknowledged delivery that is not in the inbox, or more often than once."""
    rows = Counter(server.stored_rows())
    acknowledged = {name for load in loads for name in load.acknowledged}
    bad = []
    if missing := acknowledged - rows.keys():
        bad.append(f"{len(missing)} deliveries were acknowledged and are not stored")
    if doubled := sum(times > 1 for times in rows.values()):
        bad.append(f"{doubled} deliveries are stored more than once")
    return bad


def _figures(peaks: list[Load], overloads: list[Load]) -> dict[str, int | float | str]:
    refused: Counter[int] = sum((load.refused for load in overloads), Counter())
    latencies = [seconds for load in overloads for seconds in load.latencies]
    return {
        "accepted a second at the peak": round(median(load.rate for load in peaks)),
        "accepted a second under overload": round(median(load.rate for load in overloads)),
        "refused under overload": ", ".join(f"{times} × {status}" for status, times in refused.items()) or "none",
        "connections lost under overload": sum(load.lost for load in overloads),
        "latency under overload, p99 ms": round(quantiles(latencies, n=100)[98] * 1000),
    }
