"""Starting and stopping the programs of a rehearsal: the emulator, the service, and its command line.

An outsider's view: everything is done through commands and HTTP, as a user would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

STOP_SECONDS = 15.0  # a service drains in under 8 s, Cloud Foundry kills after 10
POLL_SECONDS = 0.05


class Failed(Exception):
    """A step of the rehearsal did not do what it should; the text says which and how."""


def call(url: str, document: object | None = None, *, timeout: float = 60.0) -> Any:
    """GET, or POST of a JSON document; the parsed answer. Loopback only, so no proxy is asked."""
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return json.loads(response.read() or b"null")
    except (OSError, ValueError) as error:
        raise Failed(f"{url}: {error}") from error


def wait_until(what: str, check: Any, seconds: float) -> None:
    """Ask ``check()`` until it is true. Raises ``Failed`` naming ``what`` when time is up."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


class Program:
    """One child process in its own process group."""

    def __init__(self, name: str, arguments: Sequence[str], environ: Mapping[str, str], **options: Any) -> None:
        self.name = name
        self._child = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=dict(environ), start_new_session=True, **options
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def stop(self) -> int:
        """SIGTERM, and SIGKILL to what is left of the group after ``STOP_SECONDS``. The exit code."""
        if self.running:
            self._child.terminate()
        try:
            code = self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = self.kill()
        return code

    def kill(self) -> int:
        """SIGKILL to the whole group."""
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self._child.wait()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def command(arguments: Sequence[str], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Run a command of the service; its standard output as JSON lines. Raises ``Failed`` with its error text."""
    done = subprocess.run(
        [sys.executable, "-m", "subscriber", *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"subscriber {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def answers(url: str) -> bool:
    """Does this address answer 200?"""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Senders are killed in rehearsals: a connection that breaks is no news."""


class Receiver:
    """A small HTTP server that takes what the service forwards and remembers the id of each effect."""

    def __init__(self, *, status: int = 204) -> None:
        self.status = status
        self._seen: list[str] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def effects(self) -> list[str]:
        """The `webhook-id` of every request answered with success, as often as it came."""
        with self._lock:
            return list(self._seen)

    def _note(self, id: str) -> None:
        with self._lock:
            self._seen.append(id)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if receiver.status < 300:
                    receiver._note(self.headers["webhook-id"])
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the books are what counts."""

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
