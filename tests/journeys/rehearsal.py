"""A whole rehearsal: emulated platform, service and receiver as real processes, and the books at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Any

from emulator.balance import Balance, balance
from emulator.demo import all_items, command_of_emulator
from emulator.processes import Program, Receiver, answers, call, command, wait_until

FULL = bool(os.environ.get("FULL"))
ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60.0
DRAIN_SECONDS = 180.0
ASSET = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
TOPICS = (
    ASSET,
    "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification",
    EVENTS,
    "mdsp.core.timeseries.v1.pubsub.data.ingest",
)
TENANTS = ("acmeop", "custaa", "custbb")


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rehearsal:
    """Start with ``start``; every step is a command or a request, as a user would make it."""

    def __init__(
        self, folder: Path, *, scheme: str = "http", knobs: tuple[str, ...] = (), app: str = "", **environ: str
    ) -> None:
        """``app``: where the gateway finds an application without a direct URL; empty = at the service."""
        self._stack = ExitStack()
        self._folder = folder
        self._log = self._stack.enter_context((folder / "programs.log").open("w"))
        self.port, self._emulator_port = free_port(), free_port()
        self.emulator_url = f"http://127.0.0.1:{self._emulator_port}"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._app = app or self.url
        self.receiver = Receiver()
        self._stack.callback(self.receiver.close)
        self._knobs = knobs
        self._more = environ
        self.environ: dict[str, str] = dict(os.environ) | {"PYTHONPATH": str(ROOT)} | environ
        self.emulator: Program | None = None
        self.service: Program | None = None

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Emulator, service, subscriptions."""
        self.start_emulator()
        self.start_service()
        self.run("register", "--apply")

    def start_emulator(self) -> None:
        arguments = ["emulator", "--port", str(self._emulator_port), "--state", str(self._folder / "emulator.db")]
        arguments += ["--app", self._app, "--seed", "1"]
        for knob in self._knobs:
            arguments += ["--knob", knob]
        self.emulator = Program("emulator", arguments, self.environ, stdout=self._log, stderr=self._log, cwd=ROOT)
        self._stack.callback(self.emulator.stop)
        wait_until("the emulator", lambda: answers(self.emulator_url + "/_control/ledger"), START_SECONDS)
        known = command_of_emulator(["credentials", "--env", "--port", str(self._emulator_port)])
        # Pelion's journeys are played at an outpost of their own.
        self.environ |= {name: value for name, value in known.items() if not name.startswith("PELION_")}
        self.environ |= {
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{self._folder}/subscriber.db",
            "FORWARD_URL": self.receiver.url,
        } | self._more

    def start_service(self) -> None:
        self.run("migrate")
        self.service = Program(
            "service", ["subscriber", "serve"], self.environ, stdout=self._log, stderr=self._log, cwd=ROOT
        )
        self._stack.callback(self.service.stop)
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_until("the service", self._ready, START_SECONDS)

    def _ready(self) -> bool:
        return answers(self.url + "/ready")

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        return command([*arguments, "--json"], self.environ)

    def control(self, path: str, document: object | None = None) -> Any:
        return call(f"{self.emulator_url}/_control/{path}", document)

    def publish(self, tenant: str, topic: str, count: int, **more: float) -> None:
        self.control("publish", {"tenant": tenant, "topic": topic, "count": count} | more)

    def publish_everywhere(self, count: int, **more: float) -> None:
        for tenant in TENANTS:
            for topic in TOPICS:
                self.publish(tenant, topic, count, **more)

    def counts(self) -> Mapping[str, int]:
        (counts,) = self.run("inbox", "counts")
        return counts

    def settle(self) -> None:
        """Until the broker has nothing left and the service has handled everything."""
        wait_until("the deliveries", lambda: self.control("ledger")["pending"] == 0, DRAIN_SECONDS)
        wait_until("the handling", lambda: not self._busy(), DRAIN_SECONDS)

    def _busy(self) -> bool:
        counts = self.counts()
        return bool(counts["pending"] or counts["running"])

    def books(self) -> Balance:
        rows = self.run("inbox", "list", "--limit", "100000")
        return balance(all_items(self.emulator_url), rows, self.receiver.effects)

    def log(self) -> str:
        self._log.flush()
        return (self._folder / "programs.log").read_text()

    def children(self) -> list[int]:
        """Process ids below the service, itself left out."""
        assert self.service is not None
        parents = {int(path.name): parent for path in Path("/proc").glob("[0-9]*") if (parent := _parent(path))}
        below = {self.service.pid}
        while more := {pid for pid, parent in parents.items() if parent in below} - below:
            below |= more
        return sorted(below - {self.service.pid})


def _parent(process: Path) -> int:
    """Process id of the parent; 0 if the process has ended."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_line(pid: int) -> str:
    """The command of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


def last_json_line(text: str) -> dict[str, Any]:
    return dict(json.loads(text.strip().splitlines()[-1]))


def python(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a module of the product in the repository's folder."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
