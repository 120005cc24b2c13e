"""Notification 2.0 end to end: what the platform saw acknowledged is kept once and handled in order, whatever breaks.

One tenant with many devices, and many tenants, with real processes on both sides. The platform's two doubtful habits
are played in both positions: what makes a consumer, and where consumers may be shared.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from emulator.processes import wait_until
from tests.journeys.rehearsal import FULL, START_SECONDS
from tests.journeys.site import LISTED_ROWS, Site, inversions
from tests.servers.postgres import shared

pytestmark = pytest.mark.journey

FRAMES = 50_000 if FULL else 1_200
DEVICES = 1_000 if FULL else 40
APIS = ("measurements", "events")
FLEET: dict[str, Any] = {"name": "fleet", "subscriber": "ingest", "context": "mo", "apis": [*APIS]}
REFUSED_SECONDS = 1.0  # two or three attempts fall into it
# The subscriber pings after 40 s of silence and gives up 20 s later.
GIVEN_UP_SECONDS = 120.0
SILENT = "not even an answer to a ping"
# After a crash another instance may run exclusive channels when the lock of the last one has run out, 20 s.
TAKEN_OVER_SECONDS = 60.0


class Storm:
    """One site in trouble. Each kind of trouble meets a platform that has something to tell."""

    def __init__(self, site: Site, instances: str) -> None:
        """``instances``: a digit for each worker."""
        self.site = site
        self._instances = list(instances)
        self._chance = random.Random(5)
        self._reported = 0

    def start(self) -> None:
        for instance in self._instances:
            self.site.start_worker(instance)
        self.site.connected(len(self._instances))

    def brew(self, troubles: list[Callable[[], None]]) -> None:
        each = ceil(FRAMES / (2 * len(troubles) * len(APIS)))
        for trouble in troubles:
            self._report(each)
            # The moment is the point here: a random one under load.
            time.sleep(self._chance.uniform(0.02, 0.3))
            trouble()
            self._report(each)

    def _report(self, count: int) -> None:
        for api in APIS:
            self._reported += self.site.report(api, count)

    def calm(self) -> int:
        """No more trouble; what was never acknowledged comes again. How much was reported in all."""
        self.site.fault("none")
        self.site.tunnel.cut()
        self.site.settle()
        return self._reported

    # kinds of trouble

    def cut(self) -> None:
        self.site.tunnel.cut()

    def half_open(self) -> None:
        """Neither side is told. At full size until the subscriber has noticed; then its place is still taken."""
        self.site.fault("n2-cut", probability=0)  # from here on: a connection that breaks is no half-open one
        self._connected()
        said = self.site.log().count(SILENT)
        self.site.tunnel.freeze()
        self._report(10)
        if FULL:
            wait_until("it to be noticed", lambda: self.site.log().count(SILENT) > said, GIVEN_UP_SECONDS)
        self.site.tunnel.thaw()

    def refused_token(self) -> None:
        self._refused("n2-401")

    def refused_client(self) -> None:
        self._refused("n2-409")

    def service_down(self) -> None:
        self._refused("n2-down")

    def _refused(self, fault: str) -> None:
        self.site.fault(fault, for_s=REFUSED_SECONDS)
        self.site.tunnel.cut()

    def platform_killed(self) -> None:
        self.site.restart_emulator()

    def worker_killed(self) -> None:
        self.site.workers.pop(0).kill()
        self._next()

    def worker_stopped(self) -> None:
        assert self.site.workers.pop(0).stop() == 0
        self._next()

    def _next(self) -> None:
        """Another one in its place: the oldest is the one that went."""
        instance = self._instances.pop(0)
        self._instances.append(instance)
        self.site.start_worker(instance)
        if FULL:
            self._connected()

    def _connected(self) -> None:
        wait_until("all connections", lambda: self.site.clients() == len(self._instances), TAKEN_OVER_SECONDS)


def fleet(site: Site, **more: object) -> None:
    """A rule for each device, all under one name, and a consumer of it; tokens are good for a minute."""
    site.subscribe([{**FLEET, "sources": site.devices(), "expiresInMinutes": 1, **more}])
    site.run("register", "--apply")


def check(site: Site, published: int, started: float) -> None:
    """The books; workers are stopped for it."""
    for worker in site.workers:
        assert worker.stop() == 0
    taken = site.taken()
    books = site.books_of([id for id, _, _ in taken])
    seconds = time.monotonic() - started
    print(f"{books} {len(taken)} effects, {DEVICES} devices, {seconds:.0f} s", file=sys.stderr)
    assert (books.lost, books.unacknowledged, books.invented, books.admitted_twice) == (0,) * 4
    assert (books.handled_twice, books.unhandled) == (0, 0)
    assert books.published == books.handled == published < LISTED_ROWS
    assert books.attempts > books.published, "nothing came twice: no trouble at all"
    assert inversions(taken) == 0
    assert all(finding["ok"] for finding in site.run("check", "--offline"))


def test_an_exclusive_consumer_that_its_first_connection_made_loses_and_doubles_nothing(tmp_path: Path) -> None:
    started = time.monotonic()
    knobs = (f"EMU_C8Y_DEVICES={DEVICES}", "EMU_N2_CONSUMER_CREATED_BY=connect", "EMU_N2_SHARED_ONLY_MO=0")
    settings = {"C8Y_MICROSERVICE_ISOLATION": "PER_TENANT", "HANDLERS": "tests.journeys.sequence:sqlite_routes"}
    with Site(tmp_path, [], knobs=knobs, **settings) as site:
        site.open()
        site.prepare()
        fleet(site)
        assert site.report("events", 3) == 0, "nobody was connected yet, so they are for nobody"
        storm = Storm(site, "0")
        storm.start()
        troubles = [storm.cut, storm.half_open, storm.refused_client, storm.platform_killed, storm.worker_stopped]
        at_full_size = [storm.worker_killed, storm.refused_token, storm.service_down]  # a kill costs the lock's time
        unsteady(site)
        storm.brew(troubles + at_full_size if FULL else troubles)
        check(site, storm.calm(), started)


def test_a_shared_consumer_that_a_token_made_loses_and_doubles_nothing_between_two_workers(tmp_path: Path) -> None:
    started = time.monotonic()
    knobs = (f"EMU_C8Y_DEVICES={DEVICES}", "EMU_N2_CONSUMER_CREATED_BY=token", "EMU_N2_SHARED_ONLY_MO=1")
    settings = {
        "DATABASE_URL": shared().fresh(),
        "C8Y_MICROSERVICE_ISOLATION": "PER_TENANT",
        "HANDLERS": "tests.journeys.sequence:postgresql_routes",
    }
    with Site(tmp_path, [], knobs=knobs, **settings) as site:
        site.open()
        site.prepare()
        fleet(site, shared=True)
        early = site.report("events", 3)
        assert early == 3, "the consumer was there, so they wait for it"
        storm = Storm(site, "01")
        storm.start()
        troubles = [storm.worker_killed, storm.cut, storm.refused_token, storm.service_down, storm.worker_killed]
        at_full_size = [storm.half_open, storm.refused_client, storm.platform_killed, storm.worker_stopped]
        unsteady(site)
        if not FULL:  # whoever dies while handling holds up its devices for a lease, half a minute
            site.run("pause", "platform", "cumulocity")
        storm.brew(troubles + at_full_size if FULL else troubles)
        site.run("resume", "platform", "cumulocity")
        check(site, early + storm.calm(), started)


def unsteady(site: Site) -> None:
    """All the time: frames that come twice, acknowledgements that get lost, connections that break."""
    site.fault("n2-duplicate", probability=0.02)
    site.fault("n2-lost-ack", probability=0.02)
    site.fault("n2-cut", probability=0.0005)


def test_an_object_that_changes_and_changes_back_is_three_notifications(tmp_path: Path) -> None:
    with Site(tmp_path, [], C8Y_MICROSERVICE_ISOLATION="PER_TENANT") as site:
        site.open()
        device = site.devices()[0]
        about = {"context": "mo", "sources": [device], "apis": ["inventory"], "fragmentsToCopy": ["acme_Mode"]}
        site.subscribe([{"name": "modes", "subscriber": "ingest", **about}])
        site.run("register", "--apply")
        site.start_worker()
        site.connected()
        site.fault("n2-duplicate")  # each frame twice
        for mode in ("A", "B", "A"):
            site.ask("PUT", f"/inventory/managedObjects/{device}", {"acme_Mode": mode, "acme_Noise": mode})
        site.done(3)
        rows = site.rows()  # the latest first
        assert len({row["key"] for row in rows}) == len(rows) == 3
        (shown,) = site.run("inbox", "show", rows[1]["key"], "--tenant", rows[1]["tenant"])
        assert shown["payload"]["acme_Mode"] == "B" and "acme_Noise" not in shown["payload"]
        wait_until("the repetitions", lambda: site.counts()["duplicates"] == 3, START_SECONDS)
