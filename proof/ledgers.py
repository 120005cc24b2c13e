"""All four platforms together against one service while its processes die and stand still: the books at the end."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from emulator.balance import Balance, balance
from emulator.cumulocity.realtime.rehearsal import as_stored
from emulator.demo import (
    CUMULOCITY_REPORTS,
    CUMULOCITY_SUBSCRIPTIONS,
    CUMULOCITY_TENANTS,
    PELION_CHANNELS,
    PELION_TOPICS,
    all_items,
)
from emulator.processes import Program, call, wait_until
from proof.report import Chapter
from proof.taking import TABLE, TAKEN
from tests.journeys.rehearsal import EVENTS, ROOT, START_SECONDS, TENANTS, TOPICS, Rehearsal, command_line
from tests.servers.postgres import Server, running

NOTIFICATIONS = 20_000  # a database; what fits into some minutes
WORKERS = 4  # on PostgreSQL; on SQLite one machine's service has one worker process
ROUNDS = 10
LEAST_ROUNDS = 2
DAYS = 5  # of the platforms' time over all rounds of a full run
FAULTS = {
    **dict.fromkeys(("duplicate", "n2-duplicate", "sr-duplicate"), 0.3),
    **dict.fromkeys(("reorder", "lost-ack"), 0.1),
    "n2-cut": 0.01,
}
KNOBS = ("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=2", "EMU_PELION_RETRY_MAX_S=1")
PAUSE_SECONDS = (0.5, 3.0)  # less than a lease: who is away for longer loses what it held, which ledgers see as well
SETTLE_SECONDS = 900.0
LISTED_ROWS = 10 * NOTIFICATIONS
WANTED_ZERO = ("lost", "unacknowledged", "invented", "handled_twice", "unhandled")

WHAT = """\
The broker, Notification 2.0, Pelion and SmartREST deliver at once: 30 % come twice, a tenth out of order, a tenth of
what the broker and Pelion are told is lost on the way, connections break, and the platforms' clock goes on by days
between the rounds. Meanwhile processes of the service are killed (SIGKILL) or stand still (SIGSTOP), each at a random
moment under load. Then the platforms' ledgers, the inbox and the effects of a transactional handler are held against
each other."""


class Party(Rehearsal):
    """Every platform, and a service of several processes."""

    def __init__(self, folder: Path, workers: int, **environ: str) -> None:
        """``workers``: processes beside the one that serves."""
        super().__init__(folder, knobs=KNOBS, FORWARD_URL="", RETRY_BASE_SECONDS="1", **environ)
        self._more["C8Y_SUBSCRIPTIONS"] = json.dumps(CUMULOCITY_SUBSCRIPTIONS)
        self._count = workers
        self._workers: list[Program] = []

    def open(self) -> None:
        self.start_emulator()
        known = self.control("credentials")["cumulocity"]
        self.environ["C8Y_REALTIME"] = json.dumps(known["realtime"])
        self.run("migrate")

    def start_service(self) -> None:
        super().start_service()
        self.restore()
        self.run("register", "--apply")
        wait_until("the consumers", self._connected, START_SECONDS)

    def restore(self) -> None:
        """A worker for each that has died; ``serve`` sees to its own."""
        self._workers = [worker for worker in self._workers if worker.running]
        while len(self._workers) < self._count:
            arguments = ["subscriber", "work"]
            worker = Program("worker", arguments, self.environ, stdout=self._log, stderr=self._log, cwd=ROOT)
            self._stack.callback(worker.kill)
            self._workers.append(worker)

    def victims(self) -> list[int]:
        """Web processes and workers."""
        lines = {pid: command_line(pid) for pid in self.children()}
        own = [pid for pid, line in lines.items() if "gunicorn" in line or "subscriber work" in line]
        return own + [worker.pid for worker in self._workers if worker.running]

    def publish_round(self, each: int) -> None:
        self.publish_everywhere(each, duplicate=0.3, reorder=0.1)
        others = [(tenant, topic) for tenant in CUMULOCITY_TENANTS for topic in CUMULOCITY_REPORTS]
        others += [(tenant, topic) for tenant in PELION_CHANNELS for topic in PELION_TOPICS]
        for tenant, topic in others:
            self.publish(tenant, topic, each)

    def advance(self, days: float) -> None:
        document = {"advance": days * 86_400}
        call(f"{self.emulator_url}/_control/clock", document, timeout=SETTLE_SECONDS)

    def _connected(self) -> bool:
        """What Cumulocity publishes before its consumers have been there is nobody's."""
        topics = self.control("cumulocity/topics")["items"]
        clients = [int(consumer["clients"]) for topic in topics for consumer in topic["consumers"]]
        sessions = self.control("cumulocity/sessions")["items"]
        return sum(clients) >= len(CUMULOCITY_TENANTS) and any(session["held"] for session in sessions)

    def settle(self) -> None:
        wait_until("the deliveries", lambda: self.control("ledger")["pending"] == 0, SETTLE_SECONDS)
        wait_until("the handling", lambda: not self._busy(), SETTLE_SECONDS)


def run(scale: float) -> Chapter:
    figures: dict[str, int | float | str] = {}
    broken: list[str] = []
    for name, rehearse in (("SQLite", _on_sqlite), ("PostgreSQL", _on_postgres)):
        with tempfile.TemporaryDirectory() as folder:
            counted, found = rehearse(Path(folder), scale)
        figures |= {f"{text}, {name}": count for text, count in counted.items()}
        broken += [f"{name}: {text}" for text in found]
    tried = sum(int(count) for text, count in figures.items() if text.startswith("published"))
    return Chapter(
        title="Ledgers of all platforms",
        what=WHAT,
        tried=tried,
        unit="notifications",
        figures=figures,
        broken=broken,
        unproven="Clocks that step; a million notifications. A MindSphere event that comes again a minute after it "
        "was handled counts as a new fact, since its published body does not tell (`repeat`). What SmartREST "
        "dropped with a session is told as a gap and not counted as lost.",
    )


Counted = tuple[dict[str, int], list[str]]


def _on_sqlite(folder: Path, scale: float) -> Counted:
    path = folder / "subscriber.db"

    def prepare() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(TABLE)

    def taken() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return [id for (id,) in connection.execute(TAKEN)]

    party = Party(folder, 0, HANDLERS="proof.taking:sqlite_routes")
    with party:
        return _rehearse(party, scale, prepare, taken)


def _on_postgres(folder: Path, scale: float) -> Counted:
    with running() as server:
        url = server.fresh()
        settings = {"DATABASE_URL": url, "HANDLERS": "proof.taking:postgresql_routes"}
        party = Party(folder, WORKERS - 1, **settings)
        with party:
            return _rehearse(party, scale, lambda: _prepare(server, url), lambda: _taken(server, url))


def _prepare(server: Server, url: str) -> None:
    server.admin(f"SET ROLE app; {TABLE}", url.rpartition("/")[2])


def _taken(server: Server, url: str) -> list[str]:
    return [str(id) for (id,) in server.admin(TAKEN, url.rpartition("/")[2])]


def _rehearse(party: Party, scale: float, prepare: Callable[[], None], taken: Callable[[], Sequence[str]]) -> Counted:
    chance = random.Random(9)
    party.open()
    prepare()
    party.start_service()
    for name, probability in FAULTS.items():
        party.control("fault", {"name": name, "probability": probability})
    rounds = max(LEAST_ROUNDS, round(ROUNDS * scale))
    kinds = len(TENANTS) * len(TOPICS) + len(CUMULOCITY_TENANTS) * len(CUMULOCITY_REPORTS)
    kinds += len(PELION_CHANNELS) * len(PELION_TOPICS)
    each = max(1, round(NOTIFICATIONS * scale / rounds / kinds))
    for number in range(rounds):
        party.publish_round(each)
        time.sleep(chance.uniform(0.05, 0.5))  # the moment is the point: a random one under load
        (_kill, _pause)[number % 2](party, chance)
        party.restore()
        party.settle()
        party.advance(DAYS * scale / rounds)
    party.control("fault", {"name": "none"})
    party.settle()
    return _books(party, taken, rounds)


def _kill(party: Party, chance: random.Random) -> None:
    wait_until("processes", lambda: bool(party.victims()), START_SECONDS)
    os.kill(chance.choice(party.victims()), signal.SIGKILL)


def _pause(party: Party, chance: random.Random) -> None:
    wait_until("processes", lambda: bool(party.victims()), START_SECONDS)
    victim = chance.choice(party.victims())
    os.kill(victim, signal.SIGSTOP)
    try:
        time.sleep(chance.uniform(*PAUSE_SECONDS))  # what is tried: nobody is there for a while
    finally:
        os.kill(victim, signal.SIGCONT)


def _books(party: Party, taken: Callable[[], Sequence[str]], rounds: int) -> Counted:
    rows: list[dict[str, Any]] = party.run("inbox", "list", "--limit", str(LISTED_ROWS))
    books = balance(map(as_stored, all_items(party.emulator_url)), rows, taken())
    again = sum(bool(row["repeat"]) for row in rows if row["topic"] == EVENTS)
    broken = [f"{getattr(books, name):,} {name}" for name in WANTED_ZERO if getattr(books, name)]
    if books.admitted_twice != again:
        broken.append(f"{books.admitted_twice:,} admitted twice, {again:,} of them events that may")
    broken += [f"check says {one['name']}: {one['detail']}" for one in party.run("check", "--offline") if _bad(one)]
    return _figures(books, party, again, rounds), broken


def _bad(finding: dict[str, Any]) -> bool:
    return not finding["ok"] and finding["name"] != "gaps"  # a gap is an answer here, not a fault


def _figures(books: Balance, party: Party, again: int, rounds: int) -> dict[str, int]:
    return {
        "published": books.published,
        "deliveries attempted": books.attempts,
        "recognised as duplicates": party.counts()["duplicates"],
        "accepted": books.accepted,
        "effects": books.handled,
        "events taken as new facts": again,
        "processes killed or halted": rounds,
    }
