"""The service beside an emulated Pelion, as processes: for journeys that nobody else's platform takes part in."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import requests

import migrations
from emulator.balance import Balance, balance
from emulator.processes import Program, answers, command, wait_until
from subscriber.model import PELION, Tenant
from subscriber.platforms.pelion.resends import ANSWERED, STORED, Last, number_from
from subscriber.store import open_store
from tests.emulator.running import Emulator, running_emulator
from tests.journeys.rehearsal import DRAIN_SECONDS, ROOT, START_SECONDS, free_port

SECRETS = ("MDSP_", "C8Y_", "PELION_", "APPLICATION_NAME")  # settings of a developer's own machine


class Outpost:
    """One channel of the application ``cellar``. Every step is a command or a request, as a user would make it."""

    def __init__(self, folder: Path, emulator: Emulator, mode: str, **more: Any) -> None:
        """``more`` are members of the channel in PELION_CHANNELS."""
        self._stack = ExitStack()
        self._log = self._stack.enter_context((folder / "programs.log").open("a"))
        self.emulator = emulator
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        known = emulator.control("/credentials")["pelion"]
        self.host: str = known["host"]
        self.key: str = known["channels"][0]["api_key"]
        channel = {"name": "cellar", "api_key": self.key, "host": self.host, "mode": mode, **more}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
        self.environ = inherited | {
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "DATABASE_URL": f"sqlite:///{folder}/subscriber.db",
            "PELION_CHANNELS": json.dumps([channel]),
        }
        migrations.apply(self.environ["DATABASE_URL"])

    def __enter__(self) -> Outpost:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def serve(self) -> Program:
        """Web and worker; ready when this returns."""
        program = self._start("subscriber", "serve")
        wait_until("the service", lambda: answers(self.url + "/ready"), START_SECONDS)
        return program

    def serve_web(self) -> Program:
        """Web alone."""
        program = self._start("gunicorn", "-c", "gunicorn.conf.py", "app:app")
        wait_until("the web", lambda: answers(self.url + "/ready"), START_SECONDS)
        return program

    def work(self) -> Program:
        """A worker alone."""
        return self._start("subscriber", "work")

    def _start(self, *arguments: str) -> Program:
        program = Program(arguments[0], arguments, self.environ, stdout=self._log, stderr=self._log, cwd=ROOT)
        self._stack.callback(program.kill)
        return program

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        return command([*arguments, "--json"], self.environ)

    # The platform.

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {self.key}"}
            return session.request(method, self.host + path, json=body, headers=headers)

    def publish(self, count: int, **more: Any) -> None:
        self.emulator.control("/publish", {"tenant": "pelion/cellar", "count": count, **more})

    def turn(self, **knobs: object) -> None:
        self.emulator.control("/knobs", {f"EMU_{name.upper()}": value for name, value in knobs.items()})

    def fault(self, name: str, probability: float) -> None:
        self.emulator.control("/fault", {"name": name, "probability": probability})

    def advance(self, hours: float) -> None:
        self.emulator.control("/clock", {"advance": hours * 3600})

    def channel(self) -> Mapping[str, Any] | None:
        """As the platform's cockpit sees it."""
        found = self.emulator.control("/pelion/channels")["channels"]
        return next((one for one in found if one["name"] == "cellar"), None)

    @property
    def connected(self) -> bool:
        channel = self.channel()
        return channel is not None and channel["connected"]

    def wait_connected(self) -> None:
        wait_until("the connection", lambda: self.connected, START_SECONDS)

    # The books.

    def rows(self) -> list[dict[str, Any]]:
        return self.run("inbox", "list", "--tenant", "pelion/cellar", "--limit", "1000000")

    def rows_now(self) -> int:
        """How many there are, whatever became of them."""
        with closing(open_store(self.environ["DATABASE_URL"])) as store:
            found = store.reports.counts()
            return found.pending + found.running + found.done + found.dead

    def stored(self, count: int) -> None:
        wait_until(f"{count} rows", lambda: self.rows_now() >= count, DRAIN_SECONDS)

    def settle(self) -> None:
        wait_until("the deliveries", lambda: self.emulator.ledger()["pending"] == 0, DRAIN_SECONDS)

    def books(self) -> Balance:
        """Handling is not what these journeys are about: it is left out."""
        rows = self.rows()
        return balance(self.emulator.items(), rows, [row["id"] for row in rows])

    def answered(self) -> bool:
        """Does the service know that the last callback's answer has left? It writes that down a moment after."""
        tenant = Tenant(PELION, "cellar")
        with closing(open_store(self.environ["DATABASE_URL"])) as store:
            last = Last.read(store.registry.channel_fact(tenant, tenant.name, STORED))
            return number_from(store.registry.channel_fact(tenant, tenant.name, ANSWERED)) >= last.number

    def gaps(self) -> int:
        """How many were told."""
        with closing(open_store(self.environ["DATABASE_URL"])) as store:
            return len(store.registry.gaps())


@contextmanager
def outpost(folder: Path, mode: str, *arguments: str, **more: Any) -> Iterator[Outpost]:
    """``arguments`` are the emulator's."""
    with running_emulator(*arguments) as emulator, Outpost(folder, emulator, mode, **more) as found:
        yield found


def frozen(program: Program) -> None:
    """The whole group stands still, as a machine that sleeps."""
    os.killpg(program.pid, signal.SIGSTOP)


def thawed(program: Program) -> None:
    os.killpg(program.pid, signal.SIGCONT)
