"""Deployed to Cloud Foundry: uploaded, started, scaled, restarted and killed as the platform would do it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen, run
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from certifi import where

from emulator.processes import wait_until
from tests.journeys.foundry import STOP_SECONDS, App, Instance, manifest, stage, upload
from tests.journeys.memory import Memory
from tests.journeys.rehearsal import (
    ASSET,
    DRAIN_SECONDS,
    EVENTS,
    FULL,
    ROOT,
    TENANTS,
    TOPICS,
    Rehearsal,
    free_port,
    python,
)
from tests.journeys.router import Router
from tests.servers import postgres
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.journey

BURST = 20 if FULL else 4  # messages a tenant and topic
PAUSE_SECONDS = 0.5  # between bursts: load that goes on during a roll-out, not as much as possible
# A redelivered event counts as a new fact after a minute (README); here a redelivery may take as long as it likes.
EXACT = [topic for topic in TOPICS if topic != EVENTS]
SOON = ("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=2")
LARGE = 40 if FULL else 12  # bodies of nearly 10 MB
CUSTOMERS = 2_000 if FULL else 200
REGISTERED_SECONDS = 900 if FULL else 120
CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
CREDENTIALS = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}


def service(name: str, label: str, tag: str, uri: str) -> dict[str, Any]:
    """One entry of VCAP_SERVICES."""
    return {label: [{"name": name, "label": label, "tags": [tag], "plan": "s", "credentials": {"uri": uri}}]}


class World(Rehearsal):
    """The emulated industrial platform, and the pushed application behind a router."""

    def __init__(self, folder: Path, application: Mapping[str, Any], services: Mapping[str, Any], url: str) -> None:
        """``url``: the database that the application uses, for whoever looks at it from outside."""
        self.router = Router()
        super().__init__(folder, knobs=SOON, app=self.router.url)
        self._stack.callback(self.router.close)
        before = set(self.environ)
        self.start_emulator()
        told = {name: text for name, text in self.environ.items() if name not in {*before, "PORT", "DATABASE_URL"}}
        self.environ["DATABASE_URL"] = url
        self.cf = self._stack.enter_context(App(folder, application, services, told))

    def start_all(self) -> None:
        self.cf.start_all()
        for instance in self.cf.of("web"):
            self.router.add(instance.port)
        wait_until("the subscriptions", lambda: self.subscribed() >= len(TENANTS) * 5, REGISTERED_SECONDS)

    def subscribed(self) -> int:
        return int(self.control("calls")["calls"].get("PUT", {}).get("201", 0))

    def replace(self, old: Instance, index: int) -> None:
        """As a rolling push does: the new one first, and the old one only when it is healthy."""
        new = self.cf.start(old.process["type"], index)
        new.wait_healthy()
        if new.process["type"] == "web":
            self.router.add(new.port)
            self.router.remove(old.port)
        stop(old)

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Bursts of notifications while the block runs."""
        ended = threading.Event()

        def publish() -> None:
            while not ended.wait(PAUSE_SECONDS):
                for tenant in TENANTS:
                    for topic in EXACT:
                        self.publish(tenant, topic, BURST, duplicate=0.2, reorder=0.2)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def stop(instance: Instance) -> None:
    """It ends by itself, in order and in time, and was never larger than it may be."""
    code, seconds = instance.stop()
    assert (code, seconds < STOP_SECONDS) == (0, True), instance.log()
    assert instance.memory.held, f"{instance.memory.peak_mib:.0f} of {instance.memory.limit_mib} MiB"
    kind = instance.process["type"]
    print(f"{kind}: {instance.memory.peak_mib:.0f} MiB at most, ended in {seconds:.1f} s", file=sys.stderr)


@pytest.fixture
def database() -> Iterator[str]:
    """The address of a database without a schema: `migrate` is part of every start."""
    server = postgres.shared()
    url = server.empty()
    yield url
    server.drop(url)


# what is pushed


def test_uploaded_is_what_the_service_needs_and_nothing_else(tmp_path: Path) -> None:
    upload(ROOT, tmp_path / "app")
    files = {path.relative_to(tmp_path / "app") for path in (tmp_path / "app").rglob("*") if path.is_file()}
    assert {path.parts[0] for path in files} == {
        ".python-version",
        "app.py",
        "gunicorn.conf.py",
        "migrations",
        "requirements.txt",
        "runtime.txt",
        "subscriber",
    }
    assert {path.suffix for path in files} <= {".py", ".txt", "", ".sql", ".html", ".css", ".js", ".svg"}


def test_what_lies_about_in_a_working_folder_stays_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    kept = ["app.py", "subscriber/model.py"]
    left = [".env", "key.pem", "var/subscriber.db", "subscriber/__pycache__/x.pyc", "tests/t.py", ".venv/bin/python"]
    for name in [*kept, *left, "node_modules/a.js", "manifest.yml", ".git/config"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("canary")
    (source / ".cfignore").write_bytes((ROOT / ".cfignore").read_bytes())
    upload(source, tmp_path / "app")
    found = [str(path.relative_to(tmp_path / "app")) for path in (tmp_path / "app").rglob("*") if path.is_file()]
    assert sorted(found) == kept


def test_requirements_alone_bring_all_that_is_imported(tmp_path: Path) -> None:
    upload(ROOT, tmp_path / "app")
    python = stage(tmp_path / "python", tmp_path / "app" / "requirements.txt") / "python"
    walk = "import pkgutil, importlib, subscriber, migrations\n"
    walk += "for root in (subscriber, migrations):\n"
    walk += "    for found in pkgutil.walk_packages(root.__path__, root.__name__ + '.'):\n"
    walk += "        found.name.endswith('__main__') or importlib.import_module(found.name)\n"
    done = run([python, "-c", walk], cwd=tmp_path / "app", env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = run([python, "-c", "import pytest"], env={}, capture_output=True, text=True, check=False)
    assert "No module named 'pytest'" in done.stderr, "what tests need would hide what is missing"


def test_the_python_is_the_one_that_tests_run_on() -> None:
    wanted = (ROOT / ".python-version").read_text().strip()
    assert (ROOT / "runtime.txt").read_text().strip() == f"python-{wanted}.x"  # all that the buildpack reads
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert lowest == f">={wanted}"


@pytest.mark.parametrize("name", ["manifest.yml", "manifest-single.yml"])
def test_a_manifest_holds_no_secret_and_fits_a_handover_but_for_its_random_route(name: str) -> None:
    application = manifest(name)
    assert not re.search(r"SECRET|PASSWORD|TOKEN|KEY_STORE", str(application))
    assert not {"routes", "host", "hosts", "domain", "domains"} & set(application)
    assert application["buildpacks"] == ["python_buildpack"]
    assert re.fullmatch(r"[a-z][a-z0-9]{0,19}", application["name"])  # the platform's rule


def test_the_guide_says_what_the_manifest_says() -> None:
    guide = (ROOT / "docs" / "cloud-foundry.md").read_text()
    for process in manifest()["processes"]:
        row = next(line for line in guide.splitlines() if line.startswith(f"| `{process['type']}` |"))
        assert row.split("|")[4].strip() == process["memory"]


# its database's certificate


@pytest.fixture
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[postgres.Server]:
    """A database server with a certificate of a private authority, and nothing unencrypted over TCP."""
    with TemporaryDirectory(prefix="postgres-tls-") as name:  # pytest's folders are closed to the server's own user
        copies = [Path(shutil.copy(path, name)) for path in certificate]
        for path in (Path(name), *copies):
            path.chmod(0o700 if path.is_dir() else 0o600)
            if os.geteuid() == 0:
                shutil.chown(path, postgres.USER, postgres.USER)
        with postgres.running(
            {"ssl": "on", "ssl_cert_file": str(copies[0]), "ssl_key_file": str(copies[1])}
        ) as server:
            yield server


@pytest.mark.parametrize("known", [True, False])
def test_a_database_proves_itself_by_the_authority_that_its_binding_brings(
    known: bool, tmp_path: Path, tls_server: postgres.Server, certificate: tuple[Path, Path]
) -> None:
    pem = certificate[0].read_text() if known else "".join(re.findall(CERTIFICATE, Path(where()).read_text())[:1])
    services = service("db", "x", "postgresql", tls_server.empty())
    services["x"][0]["credentials"]["cacrt"] = pem
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "VCAP_SERVICES": json.dumps(services)}
    done = python("subscriber", "migrate", "--json", environ=environ)
    assert (done.returncode == 0) is known, done.stderr
    assert known or "certificate verify failed" in done.stderr


# how it runs


@pytest.mark.parametrize("kernel", [True, False])
def test_what_outgrows_its_limit_would_be_noticed(kernel: bool, tmp_path: Path) -> None:
    memory = Memory(64, kernel=kernel)
    grow = "import time; big = b'x' * (200 << 20); print('large', flush=True); time.sleep(60)"
    with Popen(memory.argv([sys.executable, "-c", grow]), start_new_session=True) as child:
        memory.watch(child.pid)
        wait_until("its end or its size", lambda: child.poll() is not None or memory.peak_mib > 64, 30)
        child.kill()
    memory.close()
    assert not memory.held


@contextmanager
def bound(folder: Path, database: str) -> Iterator[World]:
    """The whole of manifest.yml, with its services."""
    with ExitStack() as stack:
        broker = stack.enter_context(RabbitMQ(folder / "rabbitmq"))
        services = service("notifications-db", "postgresql15", "PostgreSQL", database)
        services |= service("notifications-mq", "p.rabbitmq", "rabbitmq", broker.url)
        world = stack.enter_context(World(folder, manifest(), services, database))
        world.broker = broker
        yield world


def test_a_rolling_restart_of_all_instances_under_load_loses_nothing(tmp_path: Path, database: str) -> None:
    with bound(tmp_path, database) as world:
        world.start_all()
        origins = {row["setting"]: row["origin"] for row in world.cf.task("settings")}
        assert origins["DATABASE_URL"] == "bound service notifications-db"
        assert origins["AMQP_URL"] == "bound service notifications-mq"
        with world.traffic():
            time.sleep(2 * PAUSE_SECONDS)  # some of it before, some during, some after
            for kind, process in world.cf.processes.items():
                for index, old in enumerate(world.cf.of(kind)):
                    world.replace(old, index)
                assert len(world.cf.of(kind)) == process["instances"]
            time.sleep(2 * PAUSE_SECONDS)
        world.settle()
        books = world.books()
        assert books.even, books
        assert queued(world.broker) == books.accepted
        assert all(instance.healthy for instance in world.cf.instances if instance.running)
        for instance in world.cf.of("web") + world.cf.of("worker"):
            stop(instance)


def queued(broker: RabbitMQ) -> int:
    counts: list[int] = []
    broker.do(
        lambda channel: counts.append(channel.queue_declare("notifications", passive=True).method.message_count)
    )
    return counts[0]


def test_a_backlog_of_the_largest_bodies_fits_the_limits(tmp_path: Path, database: str) -> None:
    application = manifest()
    application["processes"] = [process | {"instances": 1} for process in application["processes"]]
    with World(tmp_path, application, service("db", "x", "postgresql", database), database) as world:
        world.start_all()
        world.run("pause", "platform", "mindsphere")
        for number in range(LARGE):
            tenant = TENANTS[number % len(TENANTS)]
            world.control("publish", {"tenant": tenant, "topic": ASSET, "body": large_body(tenant, number)})
        wait_until("the deliveries", lambda: world.control("ledger")["pending"] == 0, DRAIN_SECONDS)
        world.run("resume", "platform", "mindsphere")
        world.settle()
        assert world.counts()["done"] == LARGE
        for instance in world.cf.of("web") + world.cf.of("worker"):
            stop(instance)
        assert len(world.cf.instances) == 2


def large_body(tenant: str, number: int) -> dict[str, Any]:
    """Nearly as large as is accepted, made of parts as platforms send them."""
    part = {"typeId": "core.basicevent", "timestamp": "2026-03-02T10:00:00.000Z", "severity": 20, "code": "42"}
    parts = [part | {"id": uuid4().hex, "entityId": uuid4().hex, "description": "x" * 250} for _ in range(21_000)]
    asset = {"id": f"m{number}", "action": "UPDATE", "timestamp": "2026-03-02T10:00:00.000Z", "aspects": parts}
    return {"header": {"topic": ASSET, "tenantContext": [tenant]}, "asset": asset}


def test_workers_that_are_killed_in_the_middle_of_a_registration_finish_it_when_they_are_back(
    tmp_path: Path, database: str
) -> None:
    services = service("any-name", "any-label", "postgres", database)
    expected = (CUSTOMERS + len(TENANTS)) * 5 + 1
    with World(tmp_path, manifest() | {"services": []}, services, database) as world:
        world.control("provision", {"tenants": [f"c{number:05}" for number in range(CUSTOMERS)], "quiet": True})
        world.cf.start_all()
        wait_until("half of it", lambda: world.subscribed() > expected // 2, REGISTERED_SECONDS)
        for worker in world.cf.of("worker"):
            worker.kill()
        made = world.subscribed()
        assert made < expected, "the registration was over before the workers were killed"
        for index in range(2):
            world.cf.start("worker", index).wait_healthy()
        wait_until("the rest", lambda: world.subscribed() >= expected, REGISTERED_SECONDS)
        wait_until("its end", lambda: world.run("register")[-1]["changes"] == 0, REGISTERED_SECONDS)
        print(f"killed after {made} of {expected}, made {world.subscribed()} in all", file=sys.stderr)
        for instance in world.cf.of("web") + world.cf.of("worker"):
            stop(instance)


def test_instances_are_healthy_while_the_industrial_platform_is_away(tmp_path: Path, database: str) -> None:
    away = CREDENTIALS | {"MDSP_GATEWAY_URL": f"http://127.0.0.1:{free_port()}"}
    away["MDSP_PIAM_URL"] = away["MDSP_GATEWAY_URL"] + "/{tenant}.piam"
    with App(tmp_path, manifest(), service("db", "x", "postgresql", database), away) as app:
        app.start_all()
        for instance in app.instances:
            stop(instance)


def test_without_a_database_nothing_starts_and_the_log_says_what_to_do(tmp_path: Path) -> None:
    with App(tmp_path, manifest(), {}, CREDENTIALS) as app:
        for kind in app.processes:
            instance = app.start(kind)
            wait_until("its end", lambda instance=instance: not instance.running, 30)
            assert "bind a PostgreSQL service" in instance.log() and "ALLOW_EPHEMERAL_SQLITE" in instance.log()


def test_the_single_container_delivers_and_its_restart_empties_the_inbox(tmp_path: Path) -> None:
    with World(tmp_path, manifest("manifest-single.yml"), {}, "") as world:
        world.cf.start_all()
        (first,) = world.cf.of("web")
        world.router.add(first.port)
        world.environ["DATABASE_URL"] = f"sqlite:///{first.folder}/var/subscriber.db"
        wait_until("the subscriptions", lambda: world.subscribed() >= len(TENANTS) * 5, REGISTERED_SECONDS)
        for topic in EXACT:
            world.publish(TENANTS[0], topic, BURST, duplicate=0.2)
        world.settle()
        assert world.books().even and world.counts()["done"] == len(EXACT) * BURST
        stop(first)
        second = world.cf.start("web")
        second.wait_healthy()
        world.environ["DATABASE_URL"] = f"sqlite:///{second.folder}/var/subscriber.db"
        assert world.counts()["done"] == 0
        stop(second)


def test_the_single_container_on_a_bound_database_keeps_its_inbox(tmp_path: Path, database: str) -> None:
    services = service("db", "x", "postgresql", database)
    with World(tmp_path, manifest("manifest-single.yml"), services, database) as world:
        world.start_all()
        for topic in EXACT:
            world.publish(TENANTS[0], topic, BURST, duplicate=0.2)
        world.settle()
        (first,) = world.cf.of("web")
        stop(first)
        second = world.cf.start("web")
        second.wait_healthy()
        assert world.books().even and world.counts()["done"] == len(EXACT) * BURST
        stop(second)
