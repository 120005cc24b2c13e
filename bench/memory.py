"""(c) Memory of a web process after 100,000 notifications, its growth, and how long a cold start takes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench import wrk
from bench.report import line
from bench.world import World, migrate, resident_mib, web

TOTAL = int(os.environ.get("NOTIFICATIONS", "100000"))
STEPS = 4
CONNECTIONS = 32
LIMIT_MIB = 96
SLICE_SECONDS = 3


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        world = World()
        environ = world.environ(Path(name), PROMETHEUS_MULTIPROC_DIR=f"{name}/metrics")
        migrate(environ)
        token = world.token()
        started = time.perf_counter()
        with web("app:app", environ) as server:
            line("memory", "cold_start", time.perf_counter() - started, "s")
            line("memory", "start", largest(server.processes), "MiB")
            sizes: list[float] = []
            sent, slices = 0.0, 0
            while sent < TOTAL:
                load = wrk.run(server.url, token, connections=CONNECTIONS, seconds=SLICE_SECONDS, run_id=f"s{slices}")
                sent, slices = sent + load.rate * SLICE_SECONDS, slices + 1
                if sent >= TOTAL * (len(sizes) + 1) / STEPS:
                    sizes.append(largest(server.processes))
        line("memory", f"after_{TOTAL}", sizes[-1], "MiB", vs=f"{LIMIT_MIB} MiB", ratio=sizes[-1] / LIMIT_MIB)
        half = sizes[len(sizes) // 2 - 1]
        line("memory", "second_half_growth", sizes[-1] - half, "MiB", vs="half", ratio=sizes[-1] / half, n=slices)
        world.close()


def largest(processes: list[int]) -> float:
    return max(resident_mib(pid) for pid in processes)
