"""From the previous level of the schema to this one under load: nothing waits, nothing is lost.

``previous_release.tar.xz`` holds the program as it was before the newest migration. A change of the schema renews it:

    git archive LAST_COMMIT_BEFORE subscriber migrations app.py gunicorn.conf.py | xz -9e >
        tests/journeys/previous_release.tar.xz

Two web servers never share a SQLite file, of whatever version: the second is refused. So the old one makes way for
the new one while the broker repeats what it could not deliver; all other pairs of processes work side by side.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emulator.processes import Program, answers, wait_until
from tests.journeys.rehearsal import ASSET, FULL, ROOT, START_SECONDS, TENANTS, Rehearsal, free_port
from tests.journeys.router import Router

pytestmark = pytest.mark.journey

ARCHIVE = Path(__file__).with_name("previous_release.tar.xz")
STEP_SECONDS = 5.0 if FULL else 1.0  # of load in each state of the roll-out
PAUSE_SECONDS = 0.01
SOON = ("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=1")
WEB = ("gunicorn", "-c", "gunicorn.conf.py", "app:app")
WORKER = ("subscriber", "work")


class Versions(Rehearsal):
    """One database, and processes of two versions of the program on it."""

    def __init__(self, folder: Path) -> None:
        self.router = Router()
        super().__init__(folder, knobs=SOON, app=self.router.url)
        self._stack.callback(self.router.close)
        self.old, self.new = folder / "previous", ROOT
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(self.old, filter="data")
        self.start_emulator()
        self.sent = 0

    def environ_of(self, version: Path, port: int = 0) -> dict[str, str]:
        return self.environ | {"PYTHONPATH": str(version), "PORT": str(port or self.port)}

    def start(self, version: Path, *arguments: str) -> Program:  # type: ignore[override]
        """A process of that version; a web server is behind the router when it is ready."""
        port = free_port()
        log = self._log
        program = Program(
            arguments[0], arguments, self.environ_of(version, port), cwd=version, stdout=log, stderr=log
        )
        self._stack.callback(program.stop)
        if arguments == WEB:
            wait_until("the web server", lambda: answers(f"http://127.0.0.1:{port}/ready"), START_SECONDS)
            self.router.add(port)
        return program

    def migrate(self, version: Path) -> list[str]:
        """Names of the migrations that were run. The folder decides which program it is."""
        done = subprocess.run(
            [sys.executable, "-m", "subscriber", "migrate", "--json"],
            env=self.environ_of(version),
            cwd=version,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["migration"] for line in done.stdout.splitlines()]

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Numbered notifications, one after the other, while the block runs."""
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(PAUSE_SECONDS):
                self.sent += 1
                tenant = TENANTS[self.sent % len(TENANTS)]
                asset = {"id": f"n{self.sent}", "action": "UPDATE", "timestamp": datetime.now(UTC).isoformat()}
                body = {"header": {"topic": ASSET, "tenantContext": [tenant]}, "asset": asset}
                self.control("publish", {"tenant": tenant, "topic": ASSET, "body": body, "duplicate": 0.2})

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_a_numbered_stream_passes_through_both_versions_and_the_migration_between_them(tmp_path: Path) -> None:
    with Versions(tmp_path) as world:
        assert world.migrate(world.old)
        old_web, old_worker = world.start(world.old, *WEB), world.start(world.old, *WORKER)
        wait_until("the subscriptions", lambda: subscribed(world) >= len(TENANTS) * 5, START_SECONDS)
        with world.stream():
            states = under_way(world, old_web, old_worker)
        world.settle()
        books = world.books()
        assert books.even, books
        rows = world.run("inbox", "list", "--topic", ASSET, "--limit", "100000")
        assert sorted(int(row["source"].removeprefix("n")) for row in rows) == list(range(1, world.sent + 1))
        assert states == sorted(set(states)), "some state of the roll-out has accepted nothing"
        assert all(finding["ok"] for finding in world.run("check"))


def under_way(world: Versions, old_web: Program, old_worker: Program) -> list[int]:
    """The roll-out, step by step; how many had been accepted after each."""
    accepted = [load(world)]
    assert world.migrate(world.new), "the archive has the current schema: renew it"
    accepted.append(load(world))  # old code on the new schema
    world.start(world.new, *WORKER)
    accepted.append(load(world))  # workers of both versions behind the old web server
    assert old_web.stop() == 0
    world.start(world.new, *WEB)
    accepted.append(load(world))  # and behind the new one
    assert old_worker.stop() == 0
    accepted.append(load(world))  # only the new version
    return accepted


def load(world: Versions) -> int:
    time.sleep(STEP_SECONDS)  # the stream goes on meanwhile, which is the point
    return int(world.control("ledger")["acknowledged"])


def subscribed(world: Rehearsal) -> int:
    return int(world.control("calls")["calls"].get("PUT", {}).get("201", 0))
