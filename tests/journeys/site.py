"""A Cumulocity tenant, or many, workers of ours as real processes, and a road between them that can be blocked."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import psycopg

from emulator.balance import Balance, balance
from emulator.demo import all_items
from emulator.processes import Program, wait_until
from tests.journeys import sequence
from tests.journeys.rehearsal import ROOT, START_SECONDS, Rehearsal
from tests.journeys.tunnel import Tunnel

TENANT = "t123"
OTHER_PLATFORMS = ("MDSP_", "C8Y_REALTIME")
LISTED_ROWS = 100_000
# Above all that full sizes need on a slow machine: 50,000 frames are handled one by one for each device.
SETTLE_SECONDS = 900.0


class Site(Rehearsal):
    """Begin with ``open``; then every step is a command, a request, or a process that starts or ends."""

    def __init__(
        self, folder: Path, subscriptions: Sequence[Mapping[str, Any]], *, knobs: tuple[str, ...] = (), **environ: str
    ) -> None:
        """``environ`` may name PER_TENANT; what it leaves out is as the platform gives it to an application."""
        super().__init__(folder, knobs=knobs, FORWARD_URL="", **environ)
        self.tunnel = Tunnel(self._emulator_port)
        self._stack.callback(self.tunnel.close)
        self.workers: list[Program] = []
        self.subscribe(subscriptions)

    def subscribe(self, subscriptions: Sequence[Mapping[str, Any]]) -> None:
        """What is configured from now on."""
        self._more["C8Y_SUBSCRIPTIONS"] = self.environ["C8Y_SUBSCRIPTIONS"] = json.dumps(subscriptions)

    def open(self) -> None:
        """The platform, and a service that is not running yet."""
        self.start_emulator()
        self.run("migrate")

    def start_emulator(self) -> None:
        super().start_emulator()
        for name in [name for name in self.environ if name.startswith(OTHER_PLATFORMS)]:
            del self.environ[name]
        self.environ["C8Y_BASEURL"] = f"{self.tunnel.url}/c8y"

    def restart_emulator(self) -> None:
        """It is killed, and goes on with what its journal has."""
        assert self.emulator is not None
        self.emulator.kill()
        self.start_emulator()

    # workers

    def start_worker(self, instance: str = "", **environ: str) -> Program:
        """``instance``: its number among its like, as the platform tells it."""
        more = {"CF_INSTANCE_INDEX": instance} if instance else {}
        arguments = ["subscriber", "work"]
        worker = Program(
            "worker", arguments, self.environ | more | environ, stdout=self._log, stderr=self._log, cwd=ROOT
        )
        self._stack.callback(worker.stop)
        self.workers.append(worker)
        return worker

    def connected(self, count: int = 1) -> None:
        """Wait until so many connections stand."""
        wait_until(f"{count} connections", lambda: self.clients() == count, START_SECONDS)

    # the platform

    def topics(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("cumulocity/topics")["items"]
        return found

    def consumers(self, topic: str) -> dict[str, dict[str, Any]]:
        """By name, of the first tenant."""
        found = [one for one in self.topics() if (one["tenant"], one["name"]) == (TENANT, topic)]
        return {consumer["name"]: consumer for one in found for consumer in one["consumers"]}

    def clients(self) -> int:
        return sum(consumer["clients"] for topic in self.topics() for consumer in topic["consumers"])

    def devices(self) -> list[str]:
        return list(self.control("credentials")["cumulocity"]["devices"])

    def fault(self, name: str, **more: float) -> None:
        self.control("fault", {"name": name, **more})

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """As a person of the first tenant, straight to the platform; the parsed answer."""
        known = self.control("credentials")["cumulocity"]
        login = base64.b64encode(f"{known['tenant']}/{known['user']}:{known['password']}".encode()).decode()
        request = Request(
            known["base_url"] + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
            method=method,
        )
        with build_opener(ProxyHandler({})).open(request, timeout=START_SECONDS) as answer:
            return json.loads(answer.read() or b"null")

    def report(self, api: str, count: int, tenant: str = TENANT) -> int:
        """Its devices report so much in turn; for how many deliveries."""
        answer = self.control("publish", {"tenant": f"cumulocity/{tenant}", "topic": api, "count": count})
        return int(answer["published"])

    # the books

    def rows(self, *filters: str) -> list[dict[str, Any]]:
        return self.run("inbox", "list", "--limit", str(LISTED_ROWS), *filters)

    def done(self, count: int) -> None:
        """Wait until so many notifications are handled, and none is left."""

        def handled() -> bool:
            counts = self.counts()
            return counts["done"] == count and not counts["pending"] + counts["running"]

        self._delivered()
        wait_until(f"{count} handled notifications", handled, SETTLE_SECONDS)

    def _delivered(self) -> None:
        """First, as it is asked for at little cost: counting takes a process, and its time from the others."""
        wait_until("the deliveries", lambda: self.control("ledger")["pending"] == 0, SETTLE_SECONDS)

    def settle(self) -> None:
        self._delivered()
        wait_until("the handling", lambda: not self._busy(), SETTLE_SECONDS)

    def books_of(self, effects: Sequence[str]) -> Balance:
        return balance(all_items(self.emulator_url), self.rows(), effects)

    # what handlers of ``sequence`` did

    @property
    def database(self) -> str:
        return self.environ["DATABASE_URL"]

    def prepare(self) -> None:
        """The team's table."""
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.database.removeprefix("sqlite:///"))) as connection:
                connection.execute(sequence.SQLITE)
        else:
            with psycopg.connect(self.database, autocommit=True) as connection:
                connection.execute(sequence.POSTGRESQL)

    def taken(self) -> list[tuple[str, str, int]]:
        """(id, source, fact) of each effect, in their order. On SQLite call it when no worker runs."""
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.database.removeprefix("sqlite:///"))) as connection:
                return connection.execute(sequence.TAKEN).fetchall()
        with psycopg.connect(self.database) as session:
            return session.execute(sequence.TAKEN.encode()).fetchall()


def inversions(taken: Sequence[tuple[str, str, int]]) -> int:
    """Effects that came after a later one of the same device."""
    latest: dict[str, int] = {}
    count = 0
    for _, source, fact in taken:
        count += fact < latest.get(source, 0)
        latest[source] = max(fact, latest.get(source, 0))
    return count
