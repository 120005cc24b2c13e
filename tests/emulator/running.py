"""The emulator as a process, and a small application behind its gateway: for the tests of everybody.

    with receiver() as app, running_emulator("--app", app.url) as emulator:
        ...

Nothing here sleeps for luck: waiting is polling with a deadline.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
READY = "emulator ready at "
DEADLINE_S = 20.0


class Emulator:
    """A running ``python -m emulator``. ``again`` starts it anew on the same state file and port."""

    def __init__(self, args: tuple[str, ...], state: Path) -> None:
        self._args = args
        self._state = state
        self.port = 0
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "emulator", "--port", str(self.port), "--state", str(self._state)]
        self.process = subprocess.Popen([*command, *self._args], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(READY):
            self._reap()
            raise AssertionError(f"the emulator did not start: exit {self.process.returncode}, said {line!r}")
        self.url = line.removeprefix(READY).strip()
        self.port = int(self.url.rpartition(":")[2])

    def _reap(self) -> int:
        code = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self._reap()

    def kill(self) -> int:
        """SIGKILL; the exit code."""
        self.process.kill()
        return self._reap()

    def again(self, *args: str) -> None:
        """Start once more, with other arguments if some are given."""
        self._args = args or self._args
        self._start()

    def control(self, path: str, members: dict[str, Any] | None = None) -> Any:
        """GET ``/_control{path}``, or POST if there are members; fails unless the answer is 200."""
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self.url}/_control{path}"
            answer = session.get(url) if members is None else session.post(url, json=members)
            assert answer.status_code == 200, answer.text
            return answer.json()

    def credentials(self) -> dict[str, Any]:
        """The "mindsphere" object of ``credentials --json``."""
        found: dict[str, Any] = self.control("/credentials")["mindsphere"]
        return found

    def environment(self) -> dict[str, str]:
        """The subscriber's settings for this emulator, as ``credentials --env`` prints them."""
        command = [sys.executable, "-m", "emulator", "credentials", "--env", "--port", str(self.port)]
        printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return dict(line.split("=", 1) for line in printed.splitlines())

    def ledger(self) -> dict[str, int]:
        totals: dict[str, int] = self.control("/ledger")
        return totals

    def items(self) -> list[dict[str, Any]]:
        """Every message x subscription."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self.control(f"/ledger/items?after={after}&limit=5000")
            found += page["items"]
            after = page["next"]
        return found

    def wait_until_delivered(self, deadline_s: float = DEADLINE_S) -> dict[str, int]:
        """Poll until nothing is pending; the ledger then."""
        return wait_for(lambda: (totals := self.ledger())["pending"] == 0 and totals, deadline_s)


def wait_for(look: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Poll until ``look()`` is true; what it answered then."""
    until = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < until, f"not within {deadline_s} s"
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def running_emulator(*args: str, state: Path | None = None) -> Iterator[Emulator]:
    """The emulator on a free port, with a state file of its own unless one is given; stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(args, state or Path(folder) / "emulator.db")
        try:
            yield emulator
        finally:
            if emulator.process.poll() is None:
                emulator.stop()


class Client:
    """A subscriber's side of the platform's APIs, written from the documents alone."""

    def __init__(self, credentials: dict[str, Any]) -> None:
        self.credentials = credentials
        self.gateway = credentials["gateway"]
        self.base = "/api/messagebroker/v4"
        self.uri = f"{self.gateway}/api/{credentials['app']}-{credentials['host_tenant']}/v1/notifications"
        self.session = requests.Session()
        self.session.trust_env = False
        self._tokens: dict[str, str] = {}

    @property
    def basic(self) -> str:
        pair = f"{self.credentials['client_id']}:{self.credentials['client_secret']}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def token_body(self, tenant: str) -> dict[str, str]:
        return {
            "appName": self.credentials["app"],
            "appVersion": self.credentials["version"],
            "hostTenant": self.credentials["host_tenant"],
            "userTenant": tenant,
        }

    def ask_token(self, tenant: str = "acmeop", **options: Any) -> requests.Response:
        """The Token Manager's answer; ``options`` replace parts of the request."""
        request = {"json": self.token_body(tenant), "headers": {"X-SPACE-AUTH-KEY": self.basic}, **options}
        return self.session.post(f"{self.gateway}/api/technicaltokenmanager/v3/oauth/token", **request)

    def token(self, tenant: str = "acmeop") -> str:
        if tenant not in self._tokens:
            answer = self.ask_token(tenant)
            assert answer.status_code == 200, answer.text
            self._tokens[tenant] = answer.json()["access_token"]
        return self._tokens[tenant]

    def bearer(self, tenant: str = "acmeop") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(tenant)}"}

    def address(self, topic: str, version: str | None = None, base: str | None = None) -> str:
        version = version or self.credentials["version"]
        path = f"/subscribers/{self.credentials['app']}/versions/{version}/topics/{topic}"
        return self.gateway + (base or self.base) + path

    def subscription(
        self,
        method: str,
        topic: str,
        tenant: str = "acmeop",
        *,
        uri: Any = None,
        headers: dict[str, str] | None = None,
        **where: str,
    ) -> requests.Response:
        """PUT, POST, GET or DELETE one subscription."""
        body = {"json": {"uri": uri or self.uri}} if method in ("PUT", "POST") else {}
        headers = self.bearer(tenant) if headers is None else headers
        return self.session.request(method, self.address(topic, **where), headers=headers, **body)

    def subscribe(self, topic: str, *tenants: str) -> None:
        """Make sure these tenants' subscriptions exist."""
        for tenant in tenants or ("acmeop",):
            answer = self.subscription("PUT", topic, tenant)
            assert answer.status_code in (200, 201), answer.text

    def user_tenants(self, tenant: str = "acmeop", **params: Any) -> requests.Response:
        address = f"{self.gateway}/api/technicaltokenmanager/v3/userTenants"
        return self.session.get(address, params=params, headers=self.bearer(tenant))

    def close(self) -> None:
        self.session.close()


@dataclass
class Received:
    """One request the application saw."""

    method: str
    path: str
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str:
        return self.headers["authorization"].partition(" ")[2]


@dataclass
class Receiver:
    """An application behind the gateway: keeps what it gets, answers what ``respond`` says."""

    url: str
    got: list[Received] = field(default_factory=list)
    respond: Callable[[Received], tuple[int, dict[str, str]]] = lambda request: (204, {})
    connections: int = 0

    def answer(self, *statuses: int) -> None:
        """These statuses in turn, the last one for good."""
        left = list(statuses)
        lock = threading.Lock()

        def respond(request: Received) -> tuple[int, dict[str, str]]:
            with lock:
                return (left.pop(0) if len(left) > 1 else left[0]), {}

        self.respond = respond

    def forget(self) -> None:
        self.got.clear()
        self.respond = lambda request: (204, {})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.receiver.connections += 1

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.command, self.path, headers, body)
        receiver = self.server.receiver
        receiver.got.append(request)
        status, extra = receiver.respond(request)
        content = b"" if status == 204 else b'{"seen":true}'
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def log_message(self, *args: Any) -> None:
        """Tests are quiet."""


@contextlib.contextmanager
def receiver(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A running application; its thread ends with the block. With ``tls`` it speaks https, as localhost."""
    server = _Server(("127.0.0.1", port), _Handler)
    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.receiver = Receiver(f"{scheme}://{host}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        thread.join(DEADLINE_S)
        server.server_close()
