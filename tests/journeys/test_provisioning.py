"""Customers come and go: all are subscribed within seconds, nobody is let go too early, nothing is left behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from emulator.processes import Program, command, wait_until
from tests.journeys.rehearsal import EVENTS, FULL, ROOT, TOPICS, Rehearsal, python

pytestmark = pytest.mark.journey

PROVISIONING = "mdsp.core.provisioning.v1.pubsub.application.ext.notification"
SECRET = "custcc alone says 5b21f0"
POLL_SECONDS = 10  # the shortest schedule that settings allow
CUSTOMERS = ["custcc", "custdd", "custee", "custff", "custgg"]  # so that one who leaves is less than a fifth
MANY = 10_000 if FULL else 150
IN_FLIGHT = 32  # calls that registration makes at once
REGISTER_SECONDS = 3600 if FULL else 120

TEAM = """
import json, pathlib
from subscriber.handlers import Route, keep

LOG = pathlib.Path(__file__).parent

def write(name, **what):
    with (LOG / name).open("a") as file:
        file.write(json.dumps(what) + "\\n")

def on_tenant(tenant, joined):
    write("passages.jsonl", tenant=tenant.name, joined=joined)

def handle(notification, attempt):
    write("handled.jsonl", tenant=notification.tenant.name, topic=notification.topic)

routes = [Route(topic="mdsp.core.*", handler=handle)]
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Rehearsal]:
    """A service with a handler table of its own, which forgets departed tenants at once."""
    (tmp_path / "team.py").write_text(TEAM)
    settings = {
        "HANDLERS": "team:routes",
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
        "MDSP_TENANT_POLL_SECONDS": str(POLL_SECONDS),
        "LEAVING_RETENTION_DAYS": "0",
    }
    with Rehearsal(tmp_path, **settings) as world:
        world.start()
        yield world


def lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def subscribed(world: Rehearsal, tenant: str) -> set[str]:
    items = world.control("subscriptions?limit=5000")["items"]
    return {item["topic"] for item in items if item["tenant"] == tenant}


def states(world: Rehearsal) -> dict[str, str]:
    return {row["tenant"].removeprefix("mindsphere/"): row["state"] for row in world.run("tenants", "list")}


def calls(world: Rehearsal) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = world.control("calls")["calls"]
    return found


def test_a_customer_is_served_within_seconds_and_forgotten_when_it_has_left(tmp_path: Path, world: Rehearsal) -> None:
    started = time.monotonic()
    world.control("provision", {"tenants": CUSTOMERS})
    wait_until("the subscriptions", lambda: len(subscribed(world, "custcc")) == 5, 5)
    body = {"header": {"topic": EVENTS, "tenantContext": ["custcc"]}, "events": [{"id": "e", "text": SECRET}]}
    world.control("publish", {"tenant": "custcc", "topic": EVENTS, "body": body})
    wait_until("the handler", lambda: '{"tenant": "custcc"' in "".join(lines(tmp_path, "handled.jsonl")), 5)
    assert time.monotonic() - started < 5
    joined = {f'{{"tenant": "{name}", "joined": true}}' for name in ("custaa", "custbb", *CUSTOMERS)}
    wait_until("the hook", lambda: set(lines(tmp_path, "passages.jsonl")) == joined, 10)
    assert holding(tmp_path, SECRET)

    world.control("deprovision", {"tenants": ["custcc"]})
    before = time.monotonic()
    wait_until("the erasure", lambda: states(world)["custcc"] == "gone", 3 * POLL_SECONDS)
    assert time.monotonic() - before > POLL_SECONDS / 2, "one list is not enough"
    wait_until("the hook", lambda: '{"tenant": "custcc", "joined": false}' in lines(tmp_path, "passages.jsonl"), 10)
    wait_until("the wiping", lambda: not holding(tmp_path, SECRET), 10)
    assert "403" not in {status for counts in calls(world).values() for status in counts}, "asked in its name"
    assert {name for name, state in states(world).items() if state == "active"} >= {
        "acmeop",
        "custaa",
        *CUSTOMERS[1:],
    }


def holding(folder: Path, text: str) -> list[Path]:
    """The database's files in which these bytes stand."""
    return [path for path in folder.glob("subscriber.db*") if text.encode() in path.read_bytes()]


def test_the_list_knows_better_than_notices_that_are_late_or_wrong(world: Rehearsal) -> None:
    world.control("provision", {"tenants": CUSTOMERS})
    world.settle()
    now = datetime.now(UTC)
    announce(world, "DEPROVISIONED", "custyy", now + timedelta(seconds=2))
    announce(world, "PROVISIONED", "custyy", now + timedelta(seconds=1))  # late: an earlier one comes after it
    announce(world, "PROVISIONED", "custzz", now + timedelta(seconds=3600))
    announce(world, "DEPROVISIONED", "custdd", now)
    wait_until("the false one's end", lambda: states(world).get("custzz") in ("leaving", "gone"), 6 * POLL_SECONDS)
    found = states(world)
    assert "custyy" not in found and found["custdd"] == "active"


def announce(world: Rehearsal, action: str, tenant: str, at: datetime) -> None:
    """A notice that the platform did not mean."""
    body = {
        "header": {"topic": PROVISIONING, "tenantContext": ["acmeop"]},
        "provisioning": {"action": action, "userTenant": tenant, "timestamp": at.isoformat(timespec="milliseconds")},
    }
    world.control("publish", {"tenant": "acmeop", "topic": PROVISIONING, "body": body})
    world.settle()


# many of them


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Rehearsal]:
    """The platform alone, with many customers who are subscribed to four topics by the command line."""
    with Rehearsal(tmp_path, MDSP_TOPICS=",".join(TOPICS)) as world:
        world.start_emulator()
        names = [f"c{number:05}" for number in range(MANY - 2)]
        world.control("provision", {"tenants": names, "quiet": True})
        world.run("migrate")
        yield world


EXPECTED = (MANY + 1) * len(TOPICS) + 1  # the host too, and provisioning in its context


def test_the_first_registration_succeeds_on_a_platform_that_fails_and_the_second_has_nothing_to_do(
    many: Rehearsal,
) -> None:
    many.control("fault", {"name": "api-5xx", "probability": 0.045})
    many.control("fault", {"name": "api-429", "probability": 0.005})
    started = time.monotonic()
    summary = many.run("register", "--apply")[-1]
    seconds = time.monotonic() - started
    assert summary == {"done": EXPECTED, "failed": 0, "stale": 0, "in_place": EXPECTED}
    many.control("fault", {"name": "none"})
    assert many.run("register") == [{"changes": 0, "tenants": MANY + 1}]
    assert many.run("register", "--apply")[-1]["failed"] == 0
    counted = calls(many)["PUT"]
    assert counted["201"] == EXPECTED and counted.get("200", 0) == 0
    print(f"{EXPECTED} subscriptions in {seconds:.0f} s, {counted}", file=sys.stderr)


def test_a_registration_that_is_killed_repeats_at_most_the_calls_in_flight(tmp_path: Path, many: Rehearsal) -> None:
    sizes: list[int] = []

    def half_way() -> bool:
        sizes.append(resident_kib(program.pid))
        return made(many) > EXPECTED // 2

    with Program(
        "register", ["subscriber", "register", "--apply"], many.environ, cwd=ROOT, stdout=DEVNULL
    ) as program:
        wait_until("half of it", half_way, REGISTER_SECONDS)
        program.kill()
    done = python("subscriber", "inbox", "counts", environ=many.environ)
    assert done.returncode == 0, done.stderr
    many.run("register", "--apply")
    counted = calls(many)["PUT"]
    assert counted["201"] == EXPECTED
    assert counted.get("200", 0) <= IN_FLIGHT
    assert many.run("register") == [{"changes": 0, "tenants": MANY + 1}]
    if FULL:
        assert sizes[-1] < 1.1 * sizes[len(sizes) // 2], "memory grows with the number of tenants"
    print(f"repeated {counted.get('200', 0)}, {sizes[len(sizes) // 2]} → {sizes[-1]} KiB", file=sys.stderr)


def made(world: Rehearsal) -> int:
    return calls(world).get("PUT", {}).get("201", 0)


def resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")), 0)


def test_a_second_registration_beside_the_first_waits_and_has_nothing_left_to_do(many: Rehearsal) -> None:
    arguments = ["subscriber", "register", "--apply"]
    with Program("register", arguments, many.environ, cwd=ROOT, stdout=DEVNULL) as first:
        wait_until("the first to have begun", lambda: made(many) > 0, 30)
        summary: dict[str, Any] = command(["register", "--apply", "--json"], many.environ)[-1]
        assert not first.running or first.stop() == 0
    assert summary["in_place"] == EXPECTED and calls(many)["PUT"] == {"201": EXPECTED}
