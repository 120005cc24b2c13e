"""The first minute: emulated platforms deliver a burst to the service, and the books are checked.

``python -m emulator.demo [--once]``. Starts the emulator and the service on loopback, subscribes three tenants of
MindSphere and the two of Cumulocity, registers Pelion's three WebSocket channels, publishes to MindSphere's topics
with a fifth of the deliveries repeated and out of order, lets Cumulocity's devices raise alarms and events and
Pelion's report values, has one tenant told in real time over SmartREST too, and says what happened.
With ``--once`` the service is also stopped and started in the middle; the last line is the books as JSON, and the
exit code is 0 only if they are even. Everything lives in ``var/demo``, which each start empties.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from emulator.balance import Balance, balance
from emulator.cumulocity.realtime.rehearsal import as_stored
from emulator.processes import Failed, Program, Receiver, answers, call, command, wait_until

FOLDER = Path("var/demo")
COUNT = 90  # messages a tenant and topic: 3 x 4 x 90 = 1,080
DUPLICATE = 0.2
REORDER = 0.2
TOPICS = (
    "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification",
    "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification",
    "mdsp.core.eventmanagement.v1.pubsub.eventnotification",
    "mdsp.core.timeseries.v1.pubsub.data.ingest",
)
CUMULOCITY_COUNT = 20  # alarms and events a tenant
CUMULOCITY_TENANTS = ("cumulocity/t123", "cumulocity/t124")
CUMULOCITY_TOPICS = ("alarms", "events")
CUMULOCITY_REPORTS = (*CUMULOCITY_TOPICS, "measurements")  # the last one in real time only
CUMULOCITY_SUBSCRIPTIONS = [
    {"name": "demo", "subscriber": "service", "context": "tenant", "apis": [*CUMULOCITY_TOPICS]},
]
PELION_COUNT = 20  # values and registrations a channel
PELION_CHANNELS = ("pelion/cellar", "pelion/gates", "pelion/mill")
PELION_TOPICS = ("notifications", "registrations")
PAGE_ITEMS = 5000  # of the ledger at once, the most that it gives
START_SECONDS = 40.0
BURST_SECONDS = 90.0


@click.command(help="Emulator and service on this machine, three tenants, one burst.")
@click.option("--once", is_flag=True, help="Stop after the burst; exit 0 only if the books are even.")
@click.option("--port", default=8080, show_default=True, help="Port of the service.")
@click.option("--emulator-port", default=8090, show_default=True, help="Port of the emulator.")
def main(once: bool, port: int, emulator_port: int) -> None:
    console = Console(stderr=False)
    try:
        with ExitStack() as stack:
            code = Demo(console, stack, port, emulator_port).run(once)
    except Failed as error:
        console.print(f"[red]failed[/]: {error}", highlight=False)
        sys.exit(1)
    sys.exit(code)


class Demo:
    """One run, step by step; the stack stops everything in reverse order."""

    def __init__(self, console: Console, stack: ExitStack, port: int, emulator_port: int) -> None:
        self._console = console
        self._stack = stack
        self._emulator = f"http://127.0.0.1:{emulator_port}"
        self._service = f"http://127.0.0.1:{port}"
        for number in (port, emulator_port):
            _refuse_taken(number)
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        self._log = stack.enter_context((FOLDER / "service.log").open("w"))
        self._receiver = Receiver()
        stack.callback(self._receiver.close)
        self._environ = dict(os.environ)
        self._program: Program | None = None
        self._ports = (port, emulator_port)

    def run(self, once: bool) -> int:
        with interruptible():
            self._start_emulator()
            self._start_service()
            self._say("subscribing five tenants, registering three channels")
            command(["register", "--apply", "--json"], self._environ)
            wait_until("the Cumulocity consumers", self._connected, START_SECONDS)
            self._publish(COUNT // 2, CUMULOCITY_COUNT // 2, PELION_COUNT // 2)
            if once:
                self._restart_in_the_middle()
            self._publish(
                COUNT - COUNT // 2, CUMULOCITY_COUNT - CUMULOCITY_COUNT // 2, PELION_COUNT - PELION_COUNT // 2
            )
            self._settle()
        books = self._books()
        self._show(books)
        if once:
            print(json.dumps(books.as_json()))
            return 0 if books.even else 1
        return self._stay()

    def _say(self, text: str) -> None:
        self._console.print(f"[cyan]·[/] {text}", highlight=False)

    def _start_emulator(self) -> None:
        self._say("starting the emulated platform")
        port, emulator_port = self._ports
        arguments = [
            "emulator",
            "--port",
            str(emulator_port),
            "--state",
            str(FOLDER / "emulator.db"),
            "--seed",
            "1",
        ]
        arguments += ["--app", f"http://127.0.0.1:{port}"]
        # Its requests would drown the story; whoever wants them reads the log.
        program = Program("emulator", arguments, self._environ, stdout=self._log, stderr=self._log)
        self._stack.callback(program.stop)
        wait_until("the emulator", lambda: answers(self._emulator + "/_control/ledger"), START_SECONDS)
        settings = command_of_emulator(["credentials", "--env", "--port", str(emulator_port)])
        self._environ |= settings | {
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{FOLDER}/subscriber.db",
            "FORWARD_URL": self._receiver.url,
            "C8Y_SUBSCRIPTIONS": json.dumps(CUMULOCITY_SUBSCRIPTIONS),
            "C8Y_REALTIME": json.dumps(call(self._emulator + "/_control/credentials")["cumulocity"]["realtime"]),
        }

    def _start_service(self) -> None:
        self._say("starting the service")
        command(["migrate", "--json"], self._environ)
        self._program = Program("service", ["subscriber", "serve"], self._environ, stdout=self._log, stderr=self._log)
        self._stack.callback(self._program.stop)
        wait_until("the service", lambda: answers(self._service + "/ready"), START_SECONDS)

    def _restart_in_the_middle(self) -> None:
        assert self._program is not None
        wait_until("half of the burst", lambda: self._ledger()["acknowledged"] > 0, BURST_SECONDS)
        self._say("stopping the service in the middle (SIGTERM), starting it again")
        code = self._program.stop()
        if code != 0:
            raise Failed(f"the service ended with {code} instead of 0; see {FOLDER}/service.log")
        self._start_service()

    def _connected(self) -> bool:
        """What Cumulocity publishes before its consumers have been there is nobody's."""
        topics = call(self._emulator + "/_control/cumulocity/topics")["items"]
        clients = [int(consumer["clients"]) for topic in topics for consumer in topic["consumers"]]
        sessions = call(self._emulator + "/_control/cumulocity/sessions")["items"]
        return sum(clients) == len(CUMULOCITY_TENANTS) and any(session["held"] for session in sessions)

    def _publish(self, count: int, cumulocity_count: int, pelion_count: int) -> None:
        world = call(self._emulator + "/_control/credentials")["mindsphere"]
        tenants = [world["host_tenant"], *world["user_tenants"]][:3]
        self._say(f"publishing {count} messages to each of {len(tenants)} tenants and {len(TOPICS)} topics")
        for tenant in tenants:
            for topic in TOPICS:
                document = {"tenant": tenant, "topic": topic, "count": count}
                call(
                    self._emulator + "/_control/publish",
                    document | {"duplicate": DUPLICATE, "reorder": REORDER},
                )
        others = [(tenant, topic, cumulocity_count) for tenant in CUMULOCITY_TENANTS for topic in CUMULOCITY_REPORTS]
        others += [(tenant, topic, pelion_count) for tenant in PELION_CHANNELS for topic in PELION_TOPICS]
        for tenant, topic, number in others:
            call(self._emulator + "/_control/publish", {"tenant": tenant, "topic": topic, "count": number})

    def _ledger(self) -> dict[str, int]:
        return dict(call(self._emulator + "/_control/ledger"))

    def _settle(self) -> None:
        """Wait for the broker to have nothing left and for the service to have handled everything."""
        self._say("waiting until everything is delivered and handled")
        wait_until("the deliveries", lambda: self._ledger()["pending"] == 0, BURST_SECONDS)
        wait_until("the handling", self._idle, BURST_SECONDS)

    def _idle(self) -> bool:
        (counts,) = command(["inbox", "counts", "--json"], self._environ)
        return bool(counts["pending"] == counts["running"] == 0)

    def _books(self) -> Balance:
        rows = command(["inbox", "list", "--limit", "100000", "--json"], self._environ)
        return balance(map(as_stored, all_items(self._emulator)), rows, self._receiver.effects)

    def _show(self, books: Balance) -> None:
        (counts,) = command(["inbox", "counts", "--json"], self._environ)
        table = Table(title="What happened", show_header=False, title_justify="left")
        for text, value in (
            ("published by the broker (messages × subscriptions)", books.published),
            ("delivery attempts", books.attempts),
            ("accepted once", books.accepted),
            ("recognised as duplicates", counts["duplicates"]),
            ("handled (forwarded to a receiver)", books.handled),
            ("lost", books.lost),
            ("admitted twice", books.admitted_twice),
            ("handled twice", books.handled_twice),
        ):
            table.add_row(text, f"{value:,}")
        self._console.print(table)
        verdict = "[green]the books are even[/]" if books.even else "[red]the books are not even[/]"
        self._console.print(verdict)

    def _stay(self) -> int:
        port, emulator_port = self._ports
        self._console.print(
            f"service   {self._service}   (health: /health)\n"
            f"console   {self._emulator}/gateway/login   (sign in as the operator of acmeop or of custaa)\n"
            f"emulator  {self._emulator}\n"
            f"try       .venv/bin/python -m emulator publish --port {emulator_port} --tenant custaa \\\n"
            f"              --topic {TOPICS[2]} --count 5\n"
            f"          DATABASE_URL=sqlite:///{FOLDER}/subscriber.db \\\n"
            "              .venv/bin/python -m subscriber inbox list\n"
            f"log       {FOLDER}/service.log\n"
            "Ctrl-C ends",
            highlight=False,
            soft_wrap=True,
        )
        with interruptible():
            signal.pause()
        return 0


def all_items(emulator: str) -> list[dict[str, Any]]:
    """Every item of the emulator's ledger."""
    return list(each_item(emulator))


def each_item(emulator: str) -> Iterator[dict[str, Any]]:
    """The same one by one, read page by page: there may be a million."""
    last = 0
    while page := call(f"{emulator}/_control/ledger/items?after={last}&limit={PAGE_ITEMS}")["items"]:
        yield from page
        last = page[-1]["number"]


def command_of_emulator(arguments: list[str]) -> dict[str, str]:
    """KEY=VALUE lines of an emulator command."""
    import subprocess

    done = subprocess.run([sys.executable, "-m", "emulator", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"emulator {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failed(
                f"port {port} is taken; is another one running? Choose others: --port, --emulator-port"
            ) from error


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order."""
    previous = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    main()
