"""Every platform, and a service of several processes that share one wall clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from emulator.demo import CUMULOCITY_SUBSCRIPTIONS, CUMULOCITY_TENANTS, PELION_CHANNELS
from emulator.processes import Program, call, wait_until
from proof.ledgers.stepping import WallClock
from subscriber.store import open_store
from tests.journeys.rehearsal import ROOT, START_SECONDS, TENANTS, TOPICS, Rehearsal, command_line

KNOBS = (
    *("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=2", "EMU_PELION_RETRY_MAX_S=1"),
    "EMU_PELION_BATCH_ITEMS=1000",  # what a database that shares two processors with all this takes in good time
)
DAY = 86_400.0
SETTLE_SECONDS = 1800.0
DUPLICATE, REORDER = 0.3, 0.1
FAULTS = {
    **dict.fromkeys(("duplicate", "n2-duplicate", "sr-duplicate"), DUPLICATE),
    **dict.fromkeys(("reorder", "lost-ack"), REORDER),
    "n2-cut": 0.0003,  # of the frames: each costs the consumer's pause before it connects again
}


class Part(NamedTuple):
    """What share of all notifications one topic of one tenant has."""

    tenant: str
    topic: str
    share: float


# Mostly what costs least, so that there can be many. Alarms of the first tenant are heard over SmartREST as well.
PARTS = [
    *(Part(tenant, topic, 0.04 / len(TENANTS) / len(TOPICS)) for tenant in TENANTS for topic in TOPICS),
    *(Part(tenant, "events", 0.045) for tenant in CUMULOCITY_TENANTS),
    *(Part(tenant, "alarms", 0.005) for tenant in CUMULOCITY_TENANTS),
    Part(CUMULOCITY_TENANTS[0], "measurements", 0.015),  # heard over SmartREST only
    *(Part(channel, "registrations", 0.04 / len(PELION_CHANNELS)) for channel in PELION_CHANNELS),
    *(Part(channel, "notifications", 0.80 / len(PELION_CHANNELS)) for channel in PELION_CHANNELS),
]


class Party(Rehearsal):
    """One process serves, and ``workers`` more handle."""

    def __init__(self, folder: Path, workers: int, **environ: str) -> None:
        super().__init__(folder, knobs=KNOBS, FORWARD_URL="", RETRY_BASE_SECONDS="1", **environ)
        self._more["C8Y_SUBSCRIPTIONS"] = json.dumps(CUMULOCITY_SUBSCRIPTIONS)
        self.clock = WallClock(folder)
        self._count = workers
        self._workers: list[Program] = []

    def open(self) -> None:
        """The platforms; the service's settings; its schema."""
        self.start_emulator()
        known = self.control("credentials")
        self.environ |= self.clock.environ | {
            "C8Y_REALTIME": json.dumps(known["cumulocity"]["realtime"]),
            "PUBLIC_URL": self.url,
            "PELION_CHANNELS": json.dumps(_callbacks(known["pelion"])),
        }
        self.run("migrate")
        for name, probability in FAULTS.items():
            self.control("fault", {"name": name, "probability": probability})

    def start_service(self) -> None:
        super().start_service()
        self.restore()
        self.run("register", "--apply")
        self.wait_connected()

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

    def publish_parts(self, total: int) -> None:
        """Some ``total`` notifications, at least one of each part."""
        for part in PARTS:
            more = {"duplicate": DUPLICATE, "reorder": REORDER} if "/" not in part.tenant else {}
            self.publish(part.tenant, part.topic, max(1, round(total * part.share)), **more)

    def advance(self, days: float) -> None:
        """The platforms' clock; nobody may wait for a delivery then, or it would be too old."""
        call(f"{self.emulator_url}/_control/clock", {"advance": days * DAY}, timeout=SETTLE_SECONDS)
        self.wait_connected()

    def wait_connected(self) -> None:
        """What Cumulocity publishes before its consumers have been there is nobody's."""
        wait_until("the channels", self._connected, START_SECONDS)

    def _connected(self) -> bool:
        topics = self.control("cumulocity/topics")["items"]
        clients = [int(consumer["clients"]) for topic in topics for consumer in topic["consumers"]]
        sessions = self.control("cumulocity/sessions")["items"]
        callbacks = self.control("pelion/channels")["channels"]
        return (
            sum(clients) >= len(CUMULOCITY_TENANTS)
            and any(session["held"] for session in sessions)
            and len(callbacks) >= len(PELION_CHANNELS)
        )

    def undelivered(self) -> int:
        return int(self.control("ledger")["pending"])

    def unhandled(self) -> int:
        with closing(open_store(self.environ["DATABASE_URL"])) as store:
            counts = store.reports.counts()
        return counts.pending + counts.running

    def await_deliveries(self) -> None:
        wait_until("the deliveries", lambda: not self.undelivered(), SETTLE_SECONDS)

    def await_handling(self) -> None:
        wait_until("the handling", lambda: not self.unhandled(), SETTLE_SECONDS)


def _callbacks(pelion: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """The seed world's channels, each as one that calls back: what was not answered comes again."""
    known = pelion["channels"]
    assert isinstance(known, list)
    return [
        {"name": one["name"], "api_key": one["api_key"], "host": pelion["host"], "mode": "callback"} for one in known
    ]
