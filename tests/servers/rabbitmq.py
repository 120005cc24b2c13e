"""A real RabbitMQ for tests: one node on private ports, with all its files in one folder.

    with RabbitMQ(folder) as broker:
        publish(broker.url)

Debian's package brings the programs. They are run as they are, without the system's service, its account or its
folders; any user may. Erlang's port mapper is started beside the node, on a port of its own too, and ends with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from emulator.processes import wait_until
from tests.tools import require

PROGRAMS = Path("/usr/lib/rabbitmq/bin")  # the commands on the path insist on root or on the service's own account
START_SECONDS = 90.0  # 4 to 8 alone; machines that run tests are busy at times
STOP_SECONDS = 30.0
GREETING = b"AMQP\x00\x00\x09\x01"
PASSWORD = "guest"  # what a fresh node lets in from loopback
CONFIG = """
log.console = false
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 1MB
max_message_size = 20000000
"""
TLS = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.versions.1 = tlsv1.2
"""
# Spinning schedulers are meant for machines that have nothing else to do.
ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ:
    """Use as a context manager. ``url`` has a fresh node's user and password; ``tls_url`` is empty without TLS."""

    def __init__(self, folder: Path, *, tls: tuple[Path, Path] | None = None) -> None:
        """``tls``: files of a certificate for localhost and of its key, both PEM."""
        self._program = require(str(PROGRAMS / "rabbitmq-server"), "rabbitmq-server")
        self._epmd = require("epmd", "erlang-base")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        with ExitStack() as stack:
            self.port, self._distribution_port, self._epmd_port, tls_port = (_free_port(stack) for _ in range(4))
        self.url = f"amqp://guest:{PASSWORD}@127.0.0.1:{self.port}"
        self.tls_url = f"amqps://guest:{PASSWORD}@localhost:{tls_port}" if tls else ""
        lines = TLS.format(port=tls_port, certificate=tls[0], key=tls[1]) if tls else ""
        (folder / "rabbitmq.conf").write_text(CONFIG + lines)
        (folder / "plugins").write_text("[].")
        self._environ = self._own_environment()
        self._log = (folder / "console.log").open("ab")
        self._mapper: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RabbitMQ:
        try:
            self._start_mapper()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Until it answers; what it kept is there again."""
        self._node = self._spawn([self._program])
        wait_until("RabbitMQ", self._answers, START_SECONDS)

    def stop(self) -> None:
        """In order, as for maintenance: connections are closed with a word of farewell."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As when the machine's power fails."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Nothing of it is left running; its files stay."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
        self._log.close()

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`, which takes a second or two. Its output."""
        command = [str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def do(self, work: Callable[[BlockingChannel], object]) -> None:
        """Something on a channel of its own, as an operator or a consumer would."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            work(connection.channel())
        finally:
            if connection.is_open:
                connection.close()

    def log(self) -> str:
        """What the node has written down."""
        return "".join(path.read_text(errors="replace") for path in sorted((self._folder / "log").glob("*.log")))

    def _answers(self) -> bool:
        if self._node is not None and self._node.poll() is not None:
            pytest.fail(f"RabbitMQ ended at its start: {self._said()}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
                probe.sendall(GREETING)
                return probe.recv(1) == b"\x01"  # the first frame is a method: connection.start
        except OSError:
            return False

    def _said(self) -> str:
        return (self._folder / "console.log").read_text(errors="replace")[-1000:]

    def _start_mapper(self) -> None:
        self._mapper = self._spawn([self._epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"])
        wait_until("epmd", lambda: _listens(self._epmd_port), START_SECONDS)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _end(self, number: signal.Signals) -> None:
        """The node and whatever it started."""
        if self._node is None:
            return
        for step in (number, signal.SIGKILL):
            try:
                os.killpg(self._node.pid, step)
                self._node.wait(STOP_SECONDS)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._node = None

    def _own_environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return inherited | {
            "HOME": str(self._folder),  # the cookie that `rabbitmqctl` shows to the node
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "rabbitmq-env.conf"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self._folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        }


def _free_port(taken: ExitStack) -> int:
    """A port that nobody has; kept until the whole set is found, so that no two are the same."""
    probe = taken.enter_context(socket.socket())
    probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
