"""Durable accepts a second, against the floor and against one transaction per request; on a slow disk; on PostgreSQL.

The floor is the same server, settings and route that verifies the same token, parses and answers 204 without storing.
All have as many connections as fill the server; on SQLite once more half as many. The slow disk is an `fsync` that
takes 2 ms longer, by a small preloaded library. PostgreSQL runs on the same machine and shares its processors.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import wrk
from bench.report import line, paired
from bench.world import World, migrate, web
from tests.servers.postgres import running

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_EACH", "4"))
CONNECTIONS = 64  # what a broker of many tenants keeps open; fewer leave the processors waiting for commits
FEW_CONNECTIONS = 32
SERVERS = {"product": "app:app", "floor": "bench.apps:floor()", "one_by_one": "bench.apps:one_by_one()"}
BESIDE = ("floor", "one_by_one")
WARM_SECONDS = 2
SLOW_FSYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int slow(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  usleep(2000);
  return real(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name, running({"fsync": "on"}) as server:
        folder = Path(name)
        world = World()
        compare(world, folder / "plain", "", BESIDE, {})
        compare(world, folder / "few", "_few_connections", BESIDE, {}, FEW_CONNECTIONS)
        compare(world, folder / "slow", "_slow_fsync", BESIDE, {"LD_PRELOAD": slow_fsync(folder)})
        compare(world, folder / "postgres", "_postgres", ("floor",), {"DATABASE_URL": server.fresh()})
        world.close()


def compare(
    world: World,
    folder: Path,
    suffix: str,
    beside: Sequence[str],
    more: Mapping[str, str],
    connections: int = CONNECTIONS,
) -> None:
    """Several servers at once, loaded in turn, so that a slow minute of the machine is everybody's."""
    names = ("product", *beside)
    token = world.token()
    with ExitStack() as stack:
        servers = {}
        for name in names:
            (folder / name).mkdir(parents=True)
            metrics = str(folder / name / "metrics")
            environ = world.environ(folder / name, PROMETHEUS_MULTIPROC_DIR=metrics, **more)
            migrate(environ)
            servers[name] = stack.enter_context(web(SERVERS[name], environ))
        loads: dict[str, list[wrk.Load]] = {name: [] for name in names}
        costs: dict[str, list[float]] = {name: [] for name in names}
        for server in servers.values():
            wrk.run(server.url, token, connections=connections, seconds=WARM_SECONDS, run_id="warm")
        for number in range(ROUNDS):
            for name, server in servers.items():
                spent, run_id = server.cpu_seconds(), f"{name}-{number}"
                load = wrk.run(server.url, token, connections=connections, seconds=SECONDS, run_id=run_id)
                loads[name].append(load)
                costs[name].append((server.cpu_seconds() - spent) / (load.rate * SECONDS) * 1e6)
    report(suffix, loads)
    # Processor time does not depend on what else the machine does: floor / product is the ratio that a quiet,
    # fully used machine would show. What a database server spends is not in it.
    cost = paired(costs["floor"], costs["product"])
    line("accept", f"cpu_per_request{suffix}", median(costs["product"]), "us", vs="floor", ratio=cost, n=ROUNDS)


def report(suffix: str, loads: Mapping[str, list[wrk.Load]]) -> None:
    rates = {name: [load.rate for load in rounds] for name, rounds in loads.items()}
    for other in [name for name in rates if name != "product"]:
        ratio = paired(rates["product"], rates[other])
        line(
            "accept", f"accepts_per_second{suffix}", median(rates["product"]), "1/s", vs=other, ratio=ratio, n=ROUNDS
        )
        line("accept", f"{other}_per_second{suffix}", median(rates[other]), "1/s", n=ROUNDS)
    for figure in ("p50_ms", "p99_ms"):
        ours = [getattr(load, figure) for load in loads["product"]]
        theirs = [getattr(load, figure) for load in loads["floor"]]
        line("accept", figure + suffix, median(ours), "ms", vs="floor", ratio=paired(ours, theirs), n=ROUNDS)
    errors = sum(load.errors for rounds in loads.values() for load in rounds)
    line("accept", f"errors{suffix}", errors, "answers", n=ROUNDS * len(loads))


def slow_fsync(folder: Path) -> str:
    """Build the library; its path."""
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SLOW_FSYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)
