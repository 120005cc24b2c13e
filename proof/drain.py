"""How fast a backlog is taken, beside two rates of the same machine in the same run.

The *accept rate* is the benchmark's: a load generator written in C against the web processes alone, which handle
nothing. The *live rate* is the emulator's own publishing without an outage: the same sender, which signs, journals
and delivers in Python, and the same service with its worker, on the same processors.

The drain shares its processors with a sender and a worker that the accept rate does not have. What they leave to the
web processes is told apart from what those cost: deliveries for each second of *their* processor time.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import wrk
from bench.accept import CONNECTIONS
from bench.world import Web, World, cpu_seconds, migrate, web
from emulator.processes import wait_until
from tests.journeys.rehearsal import DRAIN_SECONDS, Rehearsal, command_line

WEB = "web"  # the role of the processes that accept
ACCEPT_ROUNDS = 3
ACCEPT_SECONDS = 4  # of a round


class Pace(NamedTuple):
    """Deliveries acknowledged."""

    a_second: float
    a_web_second: float  # for each second of the web processes' processor time

    @classmethod
    def middle(cls, paces: Iterable[Pace]) -> Pace:
        """The median of each figure."""
        a_second, a_web_second = zip(*paces, strict=True)
        return cls(median(a_second), median(a_web_second))


def accept_paces() -> list[Pace]:
    """Those of the product's own web processes with a database of their own, round by round."""
    with closing(World()) as world, tempfile.TemporaryDirectory() as folder:
        environ = world.environ(Path(folder), PROMETHEUS_MULTIPROC_DIR=f"{folder}/metrics")
        migrate(environ)
        with web("app:app", environ) as server:
            _accept(world, server, "warm", 1)
            return [_accept(world, server, f"round-{n}", ACCEPT_SECONDS) for n in range(ACCEPT_ROUNDS)]


def _accept(world: World, server: Web, name: str, seconds: int) -> Pace:
    spent = server.cpu_seconds()
    load = wrk.run(server.url, world.token(), connections=CONNECTIONS, seconds=seconds, run_id=name)
    if load.errors:
        raise RuntimeError(f"{load.errors} deliveries of the accept rate were refused")
    return Pace(load.rate, load.rate * seconds / (server.cpu_seconds() - spent))


class Watch:
    """What a rehearsal's deliveries took, from its making to ``stop``."""

    def __init__(self, world: Rehearsal) -> None:
        assert world.emulator is not None
        self._roles = {world.emulator.pid: "emulator"} | {pid: _role(pid) for pid in world.children()}
        self._before = {pid: cpu_seconds(pid) for pid in self._roles}
        self._acknowledged = world.control("ledger")["acknowledged"]
        self._world = world
        self._started = time.monotonic()
        self.pace = Pace(0.0, 0.0)
        self.shares: Mapping[str, float] = {}  # how many processors each role had, of those that the machine has

    def stop(self) -> None:
        """Set ``pace`` and ``shares``."""
        seconds = time.monotonic() - self._started
        spent: defaultdict[str, float] = defaultdict(float)
        for pid, role in self._roles.items():
            spent[role] += cpu_seconds(pid) - self._before[pid]
        came = self._world.control("ledger")["acknowledged"] - self._acknowledged
        self.shares = {role: used / seconds for role, used in sorted(spent.items())}
        self.pace = Pace(came / seconds, came / (spent[WEB] or 1))


def _role(pid: int) -> str:
    return "worker" if "subscriber work" in command_line(pid) else WEB


def live_pace(world: Rehearsal, publish: Callable[[], None]) -> Pace:
    """From before ``publish`` until the broker has nothing left."""
    watch = Watch(world)
    publish()
    wait_until("the deliveries", lambda: world.control("ledger")["pending"] == 0, DRAIN_SECONDS)
    watch.stop()
    return watch.pace


def in_words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{role} {share:.2f}" for role, share in shares.items())
