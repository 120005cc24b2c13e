"""A real PostgreSQL for tests: Debian's packages, a folder, a port and a socket of its own.

    url = shared().fresh()           # a migrated database of this test alone; its login owns it and nothing more

One server serves a whole run of the tests and stops with it. Journeys that stop and kill servers start their own by
``running()``. PostgreSQL refuses to run as root, so there it runs as the user that its package made.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

import migrations
from tests.tools import require, unavailable

VERSIONS = Path("/usr/lib/postgresql")  # where Debian keeps the programs of each version
USER = "postgres"  # made by Debian's package
LOGIN = "app"  # owns the tests' databases; neither a superuser nor allowed to bypass row-level security
TEMPLATE = "migrated"
DEADLINE_S = 30.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "500",
    "log_min_messages": "warning",
    "shared_buffers": "128MB",
}


class Server:
    """One server. ``settings`` are added to its configuration, e.g. ``{"max_connections": "20"}``."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self._programs = _programs()
        self._as_user = {"user": USER, "group": USER} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._settings = {**SETTINGS, **(settings or {})}
        self._numbers = itertools.count()
        self._owner = os.getpid()
        self._mutex = threading.Lock()
        self._template_made = False
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self._initialise()

    def start(self) -> None:
        """Start it on its port and wait until it answers."""
        options = {**self._settings, "port": str(self.port), "unix_socket_directories": str(self._folder)}
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._as_user)  # type: ignore[call-overload]
        self._await_answer()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions and stops; SIGQUIT is the crash: nothing is flushed, the next start recovers."""
        if self._process is not None and os.getpid() == self._owner:
            self._process.send_signal(how)
            self._process.wait(DEADLINE_S)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def remove(self) -> None:
        """Stop for good and leave nothing."""
        if os.getpid() == self._owner:
            self.stop(signal.SIGQUIT)
            shutil.rmtree(self._folder)

    def url(self, database: str) -> str:
        """The database's address for the login of the tests."""
        return f"postgresql://{LOGIN}@127.0.0.1:{self.port}/{database}"

    def admin(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as superuser, outside a transaction. Returns its rows."""
        address = f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> str:
        """The address of a new database without a schema."""
        name = f"test{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name} OWNER {LOGIN}")
        return self.url(name)

    def fresh(self) -> str:
        """The address of a new database with the current schema."""
        self._make_template()
        name = f"test{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {LOGIN}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.admin(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def terminate(self, url: str) -> int:
        """End every session of a database by ``pg_terminate_backend``. Returns how many there were."""
        name = url.rpartition("/")[2]
        sessions = f"FROM pg_stat_activity WHERE datname = '{name}'"
        return len(self.admin(f"SELECT pg_terminate_backend(pid, 5000) {sessions}"))

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _make_template(self) -> None:
        with self._mutex:
            if not self._template_made:
                self.admin(f"CREATE DATABASE {TEMPLATE} OWNER {LOGIN}")
                migrations.apply(self.url(TEMPLATE))
            self._template_made = True

    def _initialise(self) -> None:
        if self._as_user:
            shutil.chown(self._folder, USER, USER)
        command = [str(self._programs / "initdb"), "-D", str(self._folder / "data"), "-U", USER]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder, **self._as_user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
        self.start()
        self.admin(f"CREATE ROLE {LOGIN} LOGIN")

    def _await_answer(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                self.admin("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self._process is not None and self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)


_starting = threading.Lock()


def shared() -> Server:
    """The server of this run of the tests."""
    with _starting:
        return _shared()


@functools.cache
def _shared() -> Server:
    server = Server()
    atexit.register(server.remove)
    return server


@contextmanager
def running(settings: dict[str, str] | None = None) -> Iterator[Server]:
    """A server of one's own, to be stopped and killed."""
    server = Server(settings)
    try:
        yield server
    finally:
        server.remove()


def _programs() -> Path:
    """The folder of the newest version's programs; Debian keeps them out of the path."""
    require("pg_ctlcluster", "postgresql")
    versions = sorted(VERSIONS.glob("*/bin/initdb"), key=lambda program: int(program.parts[-3]))
    if not versions:
        unavailable(f"there is no PostgreSQL server below {VERSIONS}")
    return versions[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
