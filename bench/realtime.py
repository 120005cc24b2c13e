"""Rows of real-time conversations stored durably, deduplicated and confirmed a second, through one session and
through many, beside a client that only reads.

Both are told by the same process (telling.py), in turn. Stores are SQLite files with the product's own durability.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import migrations
from bench.report import line, paired
from bench.world import ROOT, cpu_seconds, free_port
from emulator.processes import Program, answers, call, wait_until

ROUNDS = int(os.environ.get("ROUNDS", "5"))
ROWS = int(os.environ.get("ROWS", "30000"))  # of a round
SESSIONS = int(os.environ.get("SESSIONS", "1000"))
CONNECT_SECONDS = 120.0


def main() -> None:
    for sessions in (1, SESSIONS):
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            Bench(Path(name), stack, sessions).run()


class Bench:
    """The server, and who listens to it."""

    def __init__(self, folder: Path, stack: ExitStack, sessions: int) -> None:
        self._folder = folder
        self._stack = stack
        self._sessions = sessions
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._start("bench.telling", str(port))
        wait_until("the server", lambda: answers(f"{self._url}/_connected?name=none"), CONNECT_SECONDS)

    def run(self) -> None:
        listeners = {kind: self._listener(kind) for kind in ("product", "bare")}
        rates: dict[str, list[float]] = {kind: [] for kind in listeners}
        costs: dict[str, list[float]] = {kind: [] for kind in listeners}
        for number in range(ROUNDS + 1):
            for kind, program in listeners.items():
                spent = cpu_seconds(program.pid)
                told = call(f"{self._url}/_tell", {"name": kind, "rows": ROWS}, timeout=600.0)
                if number:  # the first round fills the caches
                    rates[kind].append(told["rows"] / told["seconds"])
                    costs[kind].append((cpu_seconds(program.pid) - spent) / told["rows"] * 1e6)
        self._report("rows_per_second", rates, "1/s")
        self._report("cpu_per_row", costs, "us")

    def _report(self, metric: str, found: dict[str, list[float]], unit: str) -> None:
        name = f"{metric}_{self._sessions}_sessions"
        ratio = paired(found["product"], found["bare"])
        line("realtime", name, median(found["product"]), unit, vs="bare", ratio=ratio, n=ROUNDS)
        line("realtime", f"bare_{name}", median(found["bare"]), unit, n=ROUNDS)

    def _listener(self, kind: str) -> Program:
        database = f"sqlite:///{self._folder}/{kind}.db"
        migrations.apply(database)
        program = self._start("bench.polling", kind, self._url, kind, str(self._sessions), database)
        address = f"{self._url}/_connected?name={kind}"
        wait_until(kind, lambda: call(address) == self._sessions, CONNECT_SECONDS)
        return program

    def _start(self, *arguments: str) -> Program:
        environ = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
        quiet = {"cwd": ROOT, "stdout": sys.stderr, "stderr": subprocess.DEVNULL}
        return self._stack.enter_context(Program(arguments[0], list(arguments), environ, **quiet))
