"""Ten times as much as the server can take: what is acknowledged is stored, and the work goes on as fast.

Two kinds. In the *closed loop* ten times as many callers as fill the server deliver again when they are answered. In
the *open loop* ten times what it can take a second comes at fixed times, answered or not; for that the server gets a
share of the processors only, so that a generator in Python can offer so much beside it. Peak and overload take turns,
so that a slow minute of the machine is everybody's. Afterwards a single caller tells how long it takes until an
answer comes as soon as it did before.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from proof.callers import Load, deliver, offer
from proof.front import Front, front
from proof.report import Chapter
from proof.slowed import slowed

PEAK_CALLERS = 64  # fill two processes (the accept benchmark's number)
TIMES = 10
AHEAD = 10  # deliveries that each of them sends without an answer, in the third stretch of a round
ROUNDS = 6
SECONDS = 5.0  # of each stretch
QUIET_SECONDS = 0.5
SHORTEST_SECONDS = 0.5
QUOTA = 0.1  # of the processors for the server in the open loop
OPEN_CONNECTIONS = 1500  # that deliveries are written to in turn: so that few wait behind each other on one
OPEN_ROUNDS = 5
OPEN_SECONDS = 9.0  # of each stretch, its ramp included
SHORTEST_OPEN_SECONDS = 1.0
RAMP = 1 / 3  # of them, until as many deliveries wait in the server as will
OFFERED = 9.5  # times the peak at least: what else would be a smaller overload than it says
GOODPUT = 0.9  # of the peak
NORMAL_SECONDS = 30.0  # until answers come as before
NORMAL_TIMES = 2.0  # of the latency before; what one caller sees on a quiet machine varies by half
NOISE_SECONDS = 0.005  # below it no latency is worth telling from another

WHAT = f"""\
The product's own gunicorn with SQLite, on the processors that the callers' own work is done on too. *Closed loop*:
callers deliver again the moment they are answered: {PEAK_CALLERS}, which fill it; {TIMES} times as many; and these
with {AHEAD} deliveries each under way at a time: in turns. *Open loop*: the server's processes are stopped for
{1 - QUOTA:.0%} of each tenth of a second, as a quota of processors does; what it then takes of {PEAK_CALLERS * TIMES}
callers in a closed loop is its peak, and {TIMES} times that many deliveries a second are written to
{OPEN_CONNECTIONS} connections at fixed times, whether earlier ones were answered or not; at the end all hang up. The
first third of these stretches is left out of the rates: queues fill in it. Every acknowledged asset is looked for in
the inbox afterwards, and is there once. Back to normal is when a single caller's answers take at most
{NORMAL_TIMES:.0f} times as long as before, or {NOISE_SECONDS * 1000:.0f} ms. Goodput is judged in the full run only:
in a second of a busy machine a ratio says little."""


def run(scale: float, **variables: str) -> Chapter:
    """``variables``: more of them for the server."""
    with tempfile.TemporaryDirectory() as folder, front(Path(folder), **variables) as server:
        closed = _closed(server, scale)
        with slowed(server.workers(), QUOTA):
            opened = _opened(server, scale)
        broken = _unkept(server, [load for loop in (closed, opened) for load in loop.loads])
    ratios = {"more callers": closed.goodput(), "more under way from each": closed.goodput(1)}
    ratios["open loop"] = opened.goodput()
    if scale >= 1:
        broken += [f"goodput, {name}: {ratio} of the peak" for name, ratio in ratios.items() if ratio < GOODPUT]
        broken += [f"only {opened.times()} times the peak was offered"] if opened.times() < OFFERED else []
    for loop in (closed, opened):
        if loop.recovered > NORMAL_SECONDS:
            broken.append(f"answers did not come as before within {NORMAL_SECONDS:.0f} s")
    return Chapter(
        title="Overload",
        what=WHAT,
        tried=sum(load.offered for loop in (closed, opened) for load in loop.loads),
        unit="deliveries",
        figures=_figures(closed, "")
        | _figures(opened, "open loop: ")
        | {"open loop: offered, times the peak": opened.times(), "open loop: offered late by, s": opened.late()}
        | {f"goodput to peak, {name}": ratio for name, ratio in ratios.items()},
        broken=broken,
        unproven="More callers than connections (2,000 a process) wait for the kernel; callers who give up before so "
        "many are served; an open loop at the full speed of the machine, which would need a second one.",
    )


@dataclass(frozen=True, slots=True)
class Loop:
    """``overloads``: one list of each kind of overload, a load for each of the ``peaks`` in it."""

    before: Load
    peaks: list[Load]
    overloads: list[list[Load]]
    recovered: float  # seconds until answers came as before
    after: list[Load]

    @property
    def overloaded(self) -> list[Load]:
        return [load for loads in self.overloads for load in loads]

    @property
    def loads(self) -> list[Load]:
        return [self.before, *self.peaks, *self.overloaded, *self.after]

    def goodput(self, kind: int = 0) -> float:
        """The median share of the peak beside it."""
        beside = zip(self.overloads[kind], self.peaks, strict=True)
        return round(median(load.rate / (peak.rate or 1) for load, peak in beside), 2)

    def late(self) -> float:
        """How far the callers fell behind the times that deliveries were due at, at most."""
        return round(max(load.late_seconds for load in self.overloads[0]), 2)

    def times(self) -> float:
        """The least that was offered, by the peak beside it."""
        beside = zip(self.overloads[0], self.peaks, strict=True)
        return round(min(load.offered / load.seconds / (peak.rate or 1) for load, peak in beside), 1)


def _closed(server: Front, scale: float) -> Loop:
    rounds, seconds = max(1, round(ROUNDS * scale)), max(SHORTEST_SECONDS, SECONDS * scale)
    _stretch(server, "warm", PEAK_CALLERS, Load(seconds))
    before = _stretch(server, "before", 1, Load(QUIET_SECONDS))
    peaks, crowds, heaps = list[Load](), list[Load](), list[Load]()
    for number in range(rounds):
        peaks.append(_stretch(server, f"peak-{number}", PEAK_CALLERS, Load(seconds)))
        crowds.append(_stretch(server, f"crowd-{number}", PEAK_CALLERS * TIMES, Load(seconds)))
        heaps.append(_stretch(server, f"heap-{number}", PEAK_CALLERS * TIMES, Load(seconds), AHEAD))
    return Loop(before, peaks, [crowds, heaps], *_recovery(server, "after", before))


def _opened(server: Front, scale: float) -> Loop:
    rounds, seconds = max(1, round(OPEN_ROUNDS * scale)), max(SHORTEST_OPEN_SECONDS, OPEN_SECONDS * scale)
    before = _stretch(server, "slowed", 1, Load(QUIET_SECONDS))
    peaks, floods = list[Load](), list[Load]()
    for number in range(rounds):
        load = Load(seconds, ramp_seconds=seconds * RAMP)
        peaks.append(_stretch(server, f"slowed-peak-{number}", PEAK_CALLERS * TIMES, load))
        load, rate = Load(seconds, ramp_seconds=seconds * RAMP), TIMES * peaks[-1].rate
        port, name = server.server.port, f"flood-{number}"
        floods.append(offer(port, name, server.delivery, callers=OPEN_CONNECTIONS, rate=rate, load=load))
    return Loop(before, peaks, [floods], *_recovery(server, "slowed-after", before))


def _stretch(server: Front, name: str, callers: int, load: Load, ahead: int = 1) -> Load:
    return deliver(server.server.port, name, server.delivery, callers=callers, ahead=ahead, load=load)


def _recovery(server: Front, name: str, before: Load) -> tuple[float, list[Load]]:
    """Seconds until one caller's answers come as before, or more than ``NORMAL_SECONDS``; and its stretches."""
    ended, loads, normal = time.monotonic(), list[Load](), median(before.latencies)
    while (passed := time.monotonic() - ended) <= NORMAL_SECONDS:
        loads.append(_stretch(server, f"{name}-{len(loads)}", 1, Load(QUIET_SECONDS)))
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


def _figures(loop: Loop, prefix: str) -> dict[str, int | float | str]:
    refused: Counter[int] = sum((load.refused for load in loop.overloaded), Counter())
    latencies = [seconds for load in loop.overloaded for seconds in load.latencies]
    figures: dict[str, int | float | str] = {
        "accepted a second at the peak": round(median(load.rate for load in loop.peaks)),
        "accepted a second under overload": round(median(load.rate for load in loop.overloaded)),
        "refused under overload": ", ".join(f"{times} × {status}" for status, times in refused.items()) or "none",
        "connections lost under overload": sum(load.lost for load in loop.overloaded),
        "without an answer when all hung up": sum(load.left for load in loop.overloaded),
        "latency under overload, p99 ms": round(quantiles(latencies, n=100)[98] * 1000)
        if len(latencies) > 1
        else "none",
        "latency of one caller before, p50 ms": round(median(loop.before.latencies) * 1000, 1),
        "back to normal after, s": round(loop.recovered, 1),
    }
    return {prefix + name: value for name, value in figures.items()}
