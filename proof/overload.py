"""Ten times as many callers as fill the server: what is acknowledged is stored, and the work goes on as fast.

Peak and overload take turns, so that a slow minute of the machine is both's. Afterwards a single caller tells how long
it takes until an answer comes as soon as it did before.
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
ROUNDS = 10
SECONDS = 5.0  # of each stretch
QUIET_SECONDS = 1.0
GOODPUT = 0.9  # of the peak
NORMAL_SECONDS = 30.0  # until answers come as before
NORMAL_TIMES = 2.0  # of the latency before; what one caller sees on a quiet machine varies by half
NOISE_SECONDS = 0.005  # below it no latency is worth telling from another

WHAT = f"""\
The product's own gunicorn with SQLite, and callers that deliver again the moment they are answered: {PEAK_CALLERS},
which fill it, and {TIMES} times as many, in turns on the same two processors, the callers' own work included. Every
acknowledged asset is looked for in the inbox afterwards, and everything in the inbox is there once. Goodput is judged
in the full run only: in a second of a busy machine a ratio says little."""


def run(scale: float) -> Chapter:
    rounds, seconds = max(1, round(ROUNDS * scale)), max(1.0, SECONDS * scale)
    with tempfile.TemporaryDirectory() as folder, front(Path(folder)) as server:
        _stretch(server, "warm", PEAK_CALLERS, seconds)
        before = _stretch(server, "before", 1, QUIET_SECONDS)
        peaks, floods = [], []
        for number in range(rounds):
            peaks.append(_stretch(server, f"peak-{number}", PEAK_CALLERS, seconds))
            floods.append(_stretch(server, f"flood-{number}", PEAK_CALLERS * TIMES, seconds))
        recovered, after = _recovery(server, median(before.latencies))
        broken = _unkept(server, [before, *peaks, *floods, *after])
    ratio = median(flood.rate / peak.rate for flood, peak in zip(floods, peaks, strict=True))
    if scale >= 1 and ratio < GOODPUT:
        broken.append(f"goodput under overload is {ratio:.2f} of the peak, less than {GOODPUT}")
    if recovered > NORMAL_SECONDS:
        broken.append(f"answers did not come as before within {NORMAL_SECONDS:.0f} s")
    told = [before, *peaks, *floods, *after]
    return Chapter(
        title="Overload",
        what=WHAT,
        tried=sum(len(load.acknowledged) + load.refused.total() for load in told),
        unit="deliveries",
        figures=_figures(peaks, floods)
        | {
            "goodput, overload to peak": round(ratio, 2),
            "latency of one caller before, p50 ms": round(median(before.latencies) * 1000, 1),
            "back to normal after, s": round(recovered, 1),
        },
        broken=broken,
        unproven="More callers than connections (2,000 a process) wait for the kernel; other machines' ratios.",
    )


def _stretch(server: Front, name: str, callers: int, seconds: float) -> Load:
    return deliver(server.server.port, name, server.delivery, callers=callers, seconds=seconds)


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


def _figures(peaks: list[Load], floods: list[Load]) -> dict[str, int | float | str]:
    refused: Counter[int] = sum((load.refused for load in floods), Counter())
    latencies = [seconds for load in floods for seconds in load.latencies]
    return {
        "accepted a second at the peak": round(median(load.rate for load in peaks)),
        "accepted a second under overload": round(median(load.rate for load in floods)),
        "refused under overload": ", ".join(f"{times} × {status}" for status, times in refused.items()) or "none",
        "connections lost under overload": sum(load.lost for load in floods),
        "latency under overload, p99 ms": round(quantiles(latencies, n=100)[98] * 1000),
    }
