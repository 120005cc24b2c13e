"""One channel of Cumulocity: frames stored durably, deduplicated and acknowledged a second, beside clients that store
nothing; a backlog; many channels; and a thousand tenants that are silent.

All are pushed to by the same process (pusher.py), each over a connection of its own that stays open, in turn. Stores
are SQLite files with the product's own durability. The last part runs the whole worker.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import orjson

from bench.report import line, paired
from bench.world import ROOT, cpu_seconds, free_port, migrate, resident_mib
from emulator.processes import Program, answers, call, wait_until
from subscriber.store import open_store

ROUNDS = int(os.environ.get("ROUNDS", "7"))
FRAMES = int(os.environ.get("FRAMES", "30000"))  # of a round
BACKLOG = int(os.environ.get("CHANNEL_BACKLOG", "100000"))
CHANNELS = int(os.environ.get("CHANNELS", "1000"))
IDLE_SECONDS = int(os.environ.get("IDLE_SECONDS", "60"))
LIMIT_MIB = 300
CONNECT_SECONDS = 120.0
QUIET_SECONDS = 20.0  # after the last connection: what connecting took is over
STORELESS = ("listener", "async_listener", "bare")


@dataclass
class Reader:
    """A process that reads. ``rates`` in frames a second, ``costs`` in microseconds of processor time for a frame."""

    process: Program
    subscription: str
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    pushed: int = 0  # frames


class Bench:
    """The pusher, and who reads from it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.start("bench.pusher", str(port), environ=here())
        wait_until("the pusher", lambda: answers(f"{self.url}/_connected?subscription=none"), CONNECT_SECONDS)

    def start(self, *arguments: str, environ: Mapping[str, str]) -> Program:
        quiet = {"cwd": ROOT, "stdout": sys.stderr, "stderr": subprocess.DEVNULL}  # a thousand channels tell much
        return self._stack.enter_context(Program(arguments[0], list(arguments), environ, **quiet))

    def storeless(self, kind: str) -> Reader:
        process = self.start("bench.consuming", kind, self.url, kind.replace("_", ""), environ=here())
        return self._connected(Reader(process, kind.replace("_", "")), 1)

    def product(self, subscription: str, tenants: int = 1) -> Reader:
        """What stores the channels of so many tenants."""
        environ = self.settings(subscription, tenants)
        process = self.start("bench.consuming", "product", self.url, subscription, environ=environ)
        return self._connected(Reader(process, subscription), tenants)

    def worker(self, subscription: str, tenants: int) -> Reader:
        """The whole worker."""
        process = self.start("subscriber", "work", environ=self.settings(subscription, tenants))
        return self._connected(Reader(process, subscription), tenants)

    def settings(self, subscription: str, tenants: int) -> dict[str, str]:
        """With a database of its own, made ready."""
        environ = here() | {
            "DATABASE_URL": self._database(subscription),
            "C8Y_BASEURL": self.url,
            "C8Y_BOOTSTRAP_TENANT": "management",
            "C8Y_BOOTSTRAP_USER": f"bootstrap_{tenants}",
            "C8Y_BOOTSTRAP_PASSWORD": "bench",
            "APPLICATION_NAME": "bench",
            "C8Y_SUBSCRIPTIONS": orjson.dumps([{"name": subscription, "context": "tenant"}]).decode(),
        }
        migrate(environ)
        return environ

    def missing(self, product: Reader) -> int:
        """Frames that it acknowledged and its database does not hold."""
        with closing(open_store(self._database(product.subscription))) as store:
            return product.pushed - store.reports.counts().pending

    def _database(self, subscription: str) -> str:
        return f"sqlite:///{self._folder}/{subscription}.db"

    def _connected(self, reader: Reader, tenants: int) -> Reader:
        address = f"{self.url}/_connected?subscription={reader.subscription}"
        wait_until(reader.subscription, lambda: call(address) == tenants, CONNECT_SECONDS)
        return reader

    def push(self, reader: Reader, frames: int) -> float:
        """Have so many frames read and acknowledged; how long that took, in seconds."""
        wanted = {"subscription": reader.subscription, "frames": frames}
        reader.pushed += frames
        return float(call(f"{self.url}/_push", wanted, timeout=600.0)["seconds"])

    def round(self, reader: Reader, frames: int) -> None:
        spent = cpu_seconds(reader.process.pid)
        reader.rates.append(frames / self.push(reader, frames))
        reader.costs.append((cpu_seconds(reader.process.pid) - spent) / frames * 1e6)

    def rounds(self, readers: Sequence[Reader], frames: int, count: int) -> None:
        """In turn; the first round fills caches and is forgotten."""
        for _ in range(count + 1):
            for reader in readers:
                self.round(reader, frames)
        for reader in readers:
            del reader.rates[0], reader.costs[0]


def here() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        yield Bench(Path(name), stack)


def main() -> None:
    with bench() as world:
        one_channel(world)
    with bench() as world:
        many_channels(world)
    with bench() as world:
        idle_tenants(world)


def one_channel(world: Bench) -> None:
    product = world.product("product")
    others = {kind: world.storeless(kind) for kind in STORELESS}
    world.rounds([product, *others.values()], FRAMES, ROUNDS)
    for kind, other in others.items():
        report("frames_per_second", product.rates, kind, other.rates, "1/s")
        line("channels", f"{kind}_frames_per_second", median(other.rates), "1/s", n=ROUNDS)
    for kind, other in others.items():
        report("cpu_per_frame", product.costs, kind, other.costs, "us")
    spread = max(product.rates) / min(product.rates)
    line("channels", "frames_per_second_fastest", max(product.rates), "1/s", vs="slowest", ratio=spread, n=ROUNDS)
    seconds, floor = world.push(product, BACKLOG), world.push(others["bare"], BACKLOG)
    line("channels", f"backlog_of_{BACKLOG}", seconds, "s", vs="bare", ratio=seconds / floor)
    line("channels", "acknowledged_and_not_stored", world.missing(product), "frames", n=product.pushed)


def many_channels(world: Bench) -> None:
    one, many = world.product("one"), world.product("many", CHANNELS)
    world.rounds([one, many], FRAMES // CHANNELS * CHANNELS, ROUNDS)
    report(f"frames_per_second_on_{CHANNELS}_channels", many.rates, "one channel", one.rates, "1/s")
    report(f"cpu_per_frame_on_{CHANNELS}_channels", many.costs, "one channel", one.costs, "us")


def idle_tenants(world: Bench) -> None:
    started = time.monotonic()
    worker = world.worker("idle", CHANNELS)
    line("channels", f"connecting_{CHANNELS}_tenants", time.monotonic() - started, "s")
    time.sleep(QUIET_SECONDS)
    spent = cpu_seconds(worker.process.pid)
    time.sleep(IDLE_SECONDS)
    share = (cpu_seconds(worker.process.pid) - spent) / IDLE_SECONDS
    line("channels", f"idle_cpu_of_{CHANNELS}_tenants", share * 60, "s/min", n=1)
    size = resident_mib(worker.process.pid)
    line("channels", f"memory_of_{CHANNELS}_tenants", size, "MiB", vs=f"{LIMIT_MIB} MiB", ratio=size / LIMIT_MIB)


def report(metric: str, ours: Sequence[float], other: str, theirs: Sequence[float], unit: str) -> None:
    line("channels", metric, median(ours), unit, vs=other, ratio=paired(ours, theirs), n=len(ours))
