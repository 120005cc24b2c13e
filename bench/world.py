"""What a measured web server needs: a signing key, a key server, settings, and the server's own processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Thread

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

ROOT = Path(__file__).parent.parent
START_SECONDS = 30.0
APP, HOST, VERSION = "alarmapi", "acmeop", "v1.4.2"


class World:
    """An identity server with one key, on loopback; the settings that point at it; tokens it signed."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, daemon=True).start()

    def _public(self) -> dict[str, str]:
        return dict(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        body = json.dumps({"keys": [self._public() | {"kid": "bench", "alg": "RS256", "use": "sig"}]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler

    @property
    def piam_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{{tenant}}.piam"

    def token(self, **more: object) -> str:
        """A delivery token, good for an hour; ``more`` claims add to it or replace."""
        now = int(time.time())
        claims = {
            "iss": self.piam_url.replace("{tenant}", "core") + "/oauth/token",
            "sub": "message-broker",
            "client_id": "message-broker",
            "ten": "core",
            "scope": [f"{APP}.notify"],
            "iat": now,
            "exp": now + 3600,
        }
        return jwt.encode({**claims, **more}, self._key, "RS256", {"kid": "bench"})

    def environ(self, folder: Path, **more: str) -> dict[str, str]:
        return dict(os.environ) | {
            "DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "PORT": str(free_port()),
            "MDSP_PIAM_URL": self.piam_url,
            "MDSP_GATEWAY_URL": "http://127.0.0.1:1",
            "MDSP_KEY_STORE_CLIENT_ID": f"{HOST}-{APP}-{VERSION}",
            "MDSP_KEY_STORE_CLIENT_SECRET": "bench",
            "MDSP_OS_VM_APP_NAME": APP,
            "MDSP_OS_VM_APP_VERSION": VERSION,
            "PYTHONPATH": str(ROOT),
            **more,
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def migrate(environ: Mapping[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "subscriber", "migrate", "--json"],
        env=environ,
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


class Web:
    """A running gunicorn with the product's own configuration."""

    def __init__(self, application: str, environ: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{environ['PORT']}"
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", application]
        self._child = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._child.poll() is not None:
                raise RuntimeError(f"{application} did not start")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return requests.get(self.url + "/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    @property
    def processes(self) -> list[int]:
        """Process ids of the web processes, without their parent."""
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def cpu_seconds(self) -> float:
        """Processor time of the web processes so far, in user and system mode."""
        return sum(cpu_seconds(pid) for pid in self.processes)

    def stop(self) -> None:
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(15)


@contextmanager
def web(application: str, environ: Mapping[str, str]) -> Iterator[Web]:
    server = Web(application, environ)
    try:
        yield server
    finally:
        server.stop()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process that is its own, shared pages counted in proportion (PSS)."""
    for text in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if text.startswith("Pss:"):
            return int(text.split()[1]) / 1024
    raise RuntimeError("no Pss in smaps_rollup")
