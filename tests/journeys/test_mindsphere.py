"""MindSphere end to end: what the broker saw acknowledged is kept once, whatever happens in between."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.processes import wait_until
from tests.journeys.rehearsal import ASSET, EVENTS, FULL, Rehearsal, command_line

pytestmark = pytest.mark.journey

ROUNDS = 20 if FULL else 4
BURST = 60 if FULL else 20  # messages a tenant and topic, each round


def victims(world: Rehearsal) -> list[int]:
    """The web server, its processes and the worker."""
    lines = {pid: command_line(pid) for pid in world.children()}
    return [pid for pid, line in lines.items() if "gunicorn" in line or "subscriber work" in line]


def said_again(rows: list[dict[str, Any]]) -> int:
    """Rows that count as a new fact of equal content, which only an event may, more than a minute after the last.

    The published body of an event does not tell its update from its redelivery: README, "What is the same".
    """
    received = {(row["tenant"], row["key"]): datetime.fromisoformat(row["received_at"]) for row in rows}
    repeats = [row for row in rows if row["repeat"]]
    for row in repeats:
        before = f"{row['key'][:-8]}{row['repeat'] - 1:08x}"
        assert row["topic"] == EVENTS
        assert received[row["tenant"], row["key"]] - received[row["tenant"], before] > timedelta(seconds=60)
    return len(repeats)


def test_everything_acknowledged_is_kept_once_and_done_when_processes_are_killed_at_random(tmp_path: Path) -> None:
    chance = random.Random(7)
    with Rehearsal(tmp_path, knobs=("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=2"), RETRY_BASE_SECONDS="1") as world:
        world.start()
        for _ in range(ROUNDS):
            world.publish_everywhere(BURST, duplicate=0.2, reorder=0.2)
            # The moment is the point here: a random one under load, not a wait for something.
            time.sleep(chance.uniform(0.02, 0.8))
            wait_until("web and worker", lambda: len(victims(world)) >= 4, 60)
            os.kill(chance.choice(victims(world)), signal.SIGKILL)
        world.wait_ready()
        world.settle()
        books = world.books()
        assert (books.lost, books.unacknowledged, books.invented, books.unhandled) == (0,) * 4
        assert books.published == ROUNDS * BURST * 12
        assert books.admitted_twice == said_again(world.run("inbox", "list", "--limit", "100000"))
        assert all(finding["ok"] for finding in world.run("check"))


def test_a_killed_service_starts_again_and_loses_nothing(tmp_path: Path) -> None:
    with Rehearsal(tmp_path, knobs=("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=2")) as world:
        world.start()
        world.publish_everywhere(BURST)
        wait_until("some deliveries", lambda: world.control("ledger")["acknowledged"] > 50, 60)
        assert world.service is not None
        world.service.kill()
        world.start_service()
        world.settle()
        books = world.books()
        assert (books.lost, books.admitted_twice, books.unhandled) == (0, 0, 0)


def test_the_service_works_over_https(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    tls = {"TLS_CERT_FILE": str(chain), "TLS_KEY_FILE": str(key), "SSL_CERT_FILE": str(chain)}
    with Rehearsal(tmp_path, scheme="https", **tls) as world:
        world.start()
        world.publish_everywhere(10, duplicate=0.2)
        world.settle()
        assert world.books().even


def test_the_same_words_to_two_tenants_are_two_notifications(tmp_path: Path) -> None:
    asset = {"id": "m-1", "action": "UPDATE", "timestamp": "2026-03-02T10:00:00.000Z"}
    with Rehearsal(tmp_path) as world:
        world.start()
        for tenant in ("custaa", "custbb"):
            body = {"header": {"topic": ASSET, "tenantContext": [tenant]}, "asset": asset}
            world.control("publish", {"tenant": tenant, "topic": ASSET, "body": body})
        world.settle()
        rows = world.run("inbox", "list", "--topic", ASSET)
        assert sorted(row["tenant"] for row in rows) == ["mindsphere/custaa", "mindsphere/custbb"]
        assert len({row["key"] for row in rows}) == 1


def test_a_broker_that_refuses_put_is_subscribed_by_post(tmp_path: Path) -> None:
    with Rehearsal(tmp_path, knobs=("EMU_MB_ACCEPT_PUT=0",)) as world:
        world.start()
        world.publish("custaa", EVENTS, 3)
        world.settle()
        assert world.books().even and world.counts()["done"] == 3
