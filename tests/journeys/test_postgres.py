"""Many web and worker processes on one PostgreSQL: nothing lost, effects exactly once and in order, whatever dies."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import ceil
from pathlib import Path

import psycopg
import pytest

from emulator.balance import Balance, balance
from emulator.demo import all_items
from emulator.processes import Program, answers, wait_until
from tests.journeys.effects import SCHEMA
from tests.journeys.rehearsal import ASSET, FULL, START_SECONDS, TENANTS, Rehearsal, free_port
from tests.journeys.router import Router
from tests.servers.postgres import Server, running

pytestmark = pytest.mark.journey

INSTANCES = 3
TIMESERIES = "mdsp.core.timeseries.v1.pubsub.data.ingest"
TOPICS = (ASSET, TIMESERIES)
PUBLISHED = 20_000 if FULL else 900
ROUNDS = 20 if FULL else 6  # deaths, each at a random moment under load
STORM = 10  # times that every session is ended, within a moment


class Fleet:
    """Web and worker processes of one application, started by the manifest's commands."""

    def __init__(self, world: Rehearsal, router: Router, stack: ExitStack, log: Path) -> None:
        self._world, self._router, self._stack = world, router, stack
        self._log = stack.enter_context(log.open("w"))
        self.webs = [self._web() for _ in range(INSTANCES)]
        self.workers = [self._worker() for _ in range(INSTANCES)]

    def wait_ready(self) -> None:
        for port, _ in self.webs:
            wait_until("a web process", lambda port=port: answers(f"http://127.0.0.1:{port}/ready"), START_SECONDS)

    def kill_a_web(self, chance: random.Random) -> None:
        """SIGKILL to a whole web instance; the platform starts another."""
        port, program = chance.choice(self.webs)
        program.kill()
        self._router.remove(port)
        self.webs.remove((port, program))
        self.webs.append(self._web())

    def kill_a_worker(self, chance: random.Random) -> None:
        program = chance.choice(self.workers)
        program.kill()
        self.workers.remove(program)
        self.workers.append(self._worker())

    def _web(self) -> tuple[int, Program]:
        port = free_port()
        program = self._start("gunicorn", ["gunicorn", "-c", "gunicorn.conf.py"], PORT=str(port), WEB_CONCURRENCY="1")
        self._router.add(port)
        return port, program

    def _worker(self) -> Program:
        return self._start("worker", ["subscriber", "work"])

    def _start(self, name: str, arguments: list[str], **environ: str) -> Program:
        program = Program(name, arguments, self._world.environ | environ, stdout=self._log, stderr=self._log)
        self._stack.callback(program.stop)
        return program


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def router() -> Iterator[Router]:
    router = Router()
    yield router
    router.close()


def prepare(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)


def read(server: Server, url: str, sql: str) -> list[tuple[object, ...]]:
    """As superuser: row-level security hides every row from a login that names no tenant."""
    return server.admin(sql, url.rpartition("/")[2])


def inversions(server: Server, url: str) -> int:
    """Effects of one source that stand before an effect of something that arrived earlier."""
    ((count,),) = read(
        server,
        url,
        """
        SELECT count(*) FROM (
            SELECT (xid, seq) < lag((xid, seq)) OVER (PARTITION BY effects.tenant, effects.source ORDER BY number)
            AS inverted FROM effects
            JOIN tenants ON effects.tenant = tenants.platform || '/' || tenants.name
            JOIN inbox ON inbox.tenant_id = tenants.id
                AND effects.id = tenants.platform || '.' || tenants.name || '.' || encode(inbox.key, 'hex')
            WHERE effects.source <> ''
        ) AS pairs WHERE inverted
        """,
    )
    assert isinstance(count, int)
    return count


def storm(server: Server, url: str) -> None:
    """Every session ended, again and again."""
    for _ in range(STORM):
        server.terminate(url)


def deaths(server: Server, url: str, fleet: Fleet, chance: random.Random) -> list[Callable[[], object]]:
    """One for each round; each kind comes, the crash of the database once."""
    kinds = [lambda: fleet.kill_a_web(chance), lambda: fleet.kill_a_worker(chance), lambda: storm(server, url)]
    plan = [lambda: server.restart(signal.SIGQUIT), *(kinds[number % len(kinds)] for number in range(ROUNDS - 1))]
    chance.shuffle(plan)
    return plan


def books(world: Rehearsal, server: Server, url: str) -> Balance:
    rows = world.run("inbox", "list", "--limit", "100000")
    effects = [str(id) for (id,) in read(server, url, "SELECT id FROM effects")]
    return balance(all_items(world.emulator_url), rows, effects)


def test_nothing_is_lost_doubled_or_overtaken_when_processes_sessions_and_the_server_die(
    tmp_path: Path, server: Server, router: Router
) -> None:
    url, chance = server.fresh(), random.Random(11)
    prepare(url)
    settings = {
        "DATABASE_URL": url,
        "FORWARD_URL": "",
        "HANDLERS": "tests.journeys.effects:routes",
        "RETRY_BASE_SECONDS": "1",
        "RETRY_MAX_SECONDS": "5",
    }
    knobs = ("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=2")
    with Rehearsal(tmp_path, knobs=knobs, app=router.url, **settings) as world, ExitStack() as stack:
        world.start_emulator()
        fleet = Fleet(world, router, stack, tmp_path / "fleet.log")
        fleet.wait_ready()
        world.run("register", "--apply")
        each = ceil(PUBLISHED / (ROUNDS * len(TENANTS) * len(TOPICS)))
        for death in deaths(server, url, fleet, chance):
            for tenant in TENANTS:
                for topic in TOPICS:
                    world.publish(tenant, topic, each, duplicate=0.3, reorder=0.2)
            time.sleep(chance.uniform(0.05, 0.5))  # the moment is the point: a random one under load
            death()
        fleet.wait_ready()
        world.settle()
        found = books(world, server, url)
        assert (found.lost, found.unacknowledged, found.invented, found.admitted_twice) == (0,) * 4
        assert (found.handled_twice, found.unhandled) == (0, 0)
        assert found.published == found.handled == each * ROUNDS * len(TENANTS) * len(TOPICS)
        assert inversions(server, url) == 0
        assert all(finding["ok"] for finding in world.run("check", "--offline"))
