"""Many Cumulocity tenants in one worker: all connected, and they come, go and change passwords without a restart."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from emulator.demo import all_items
from emulator.processes import wait_until
from tests.journeys.memory import proportional_kib
from tests.journeys.rehearsal import FULL
from tests.journeys.site import Site

pytestmark = pytest.mark.journey

TENANTS = 1_000 if FULL else 24  # beside the two of the seed world
# A worker begins with them within half a minute, spread over some more; a thousand sets of rules take their time.
CONNECT_SECONDS = 300.0
MEMORY_MIB = 300  # of one worker, goal of the product
IDLE_SECONDS = 20.0 if FULL else 2.0
WATCHED = {"name": "cold", "subscriber": "ingest", "context": "tenant", "apis": ["alarms", "events"]}
NAMES = [f"t{number}" for number in range(200, 200 + TENANTS)]


def provision(site: Site, *names: str) -> None:
    site.control("provision", {"tenants": [f"cumulocity/{name}" for name in names]})


def deprovision(site: Site, *names: str) -> None:
    site.control("deprovision", {"tenants": [f"cumulocity/{name}" for name in names]})


def processor_seconds(pid: int) -> float:
    """Used so far, in all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until_connected(site: Site, count: int) -> float:
    """Seconds until every tenant of so many has its client."""
    started = time.monotonic()
    wait_until(f"{count} tenants connected", lambda: site.clients() == count, CONNECT_SECONDS)
    return time.monotonic() - started


def states(site: Site) -> dict[str, str]:
    return {row["tenant"].removeprefix("cumulocity/"): row["state"] for row in site.run("tenants", "list")}


def test_every_tenant_is_connected_and_comes_goes_and_changes_its_password_without_a_restart(tmp_path: Path) -> None:
    with Site(tmp_path, [WATCHED], knobs=("EMU_C8Y_DEVICES=1",)) as site:
        site.open()
        provision(site, *NAMES)
        everybody = TENANTS + 2
        worker = site.start_worker()
        connecting = until_connected(site, everybody)
        wait_until("all rules", lambda: site.report("alarms", 1, NAMES[-1]) > 0, CONNECT_SECONDS)
        assert site.run("register", "--apply")[-1]["failed"] == 0
        assert site.run("register") == [{"changes": 0, "tenants": everybody}]

        before, used = time.monotonic(), processor_seconds(worker.pid)
        time.sleep(IDLE_SECONDS)  # what is measured is time in which nothing happens
        busy = (processor_seconds(worker.pid) - used) / (time.monotonic() - before)
        memory = proportional_kib(worker.pid) / 1024
        print(
            f"{everybody} tenants connected in {connecting:.0f} s; idle {busy:.1%} of a processor, {memory:.0f} MiB",
            file=sys.stderr,
        )
        assert memory < MEMORY_MIB

        site.control("cumulocity/rotate-service-users", {})
        site.tunnel.cut()
        until_connected(site, everybody)
        served = ["t123", "t124", *NAMES]
        if FULL:  # lists are read at their own pace, and one without a tenant is not enough
            provision(site, "t9001")
            deprovision(site, served.pop())
            served.append("t9001")
            wait_until("its leaving", lambda: states(site)[NAMES[-1]] == "leaving", CONNECT_SECONDS)
            wait_until("the newcomer's rules", lambda: site.report("alarms", 1, "t9001") > 0, CONNECT_SECONDS)
            until_connected(site, everybody)
        for name in served:
            site.report("events", 1, name)
        site.settle()
        assert worker.running and worker.stop() == 0
        rows = site.rows()
        assert {row["tenant"] for row in rows if row["topic"] == "events"} == {
            f"cumulocity/{name}" for name in served
        }
        assert len(rows) == sum(item["acknowledged"] for item in all_items(site.emulator_url))
