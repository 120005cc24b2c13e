"""Real servers on free ports, and clients that send exactly the bytes they are given."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import parse_headers
from io import RawIOBase
from pathlib import Path

import migrations

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 30.0
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes


def receive(sock: socket.socket) -> Answer:
    """The next response on a connection; not a byte beyond it is read. Raises ``EOFError`` if there is none."""
    stream = sock.makefile("rb", buffering=0)
    status = stream.readline()
    if not status:
        raise EOFError
    headers = {name.lower(): value for name, value in parse_headers(stream).items()}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(stream))
    else:
        body = _exactly(stream, int(headers.get("content-length", 0)))
    return Answer(int(status.split()[1]), headers, body)


def _chunks(stream: RawIOBase) -> Iterator[bytes]:
    while size := int(stream.readline(), 16):
        yield _exactly(stream, size)
        stream.readline()
    stream.readline()


def _exactly(stream: RawIOBase, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def is_closed(sock: socket.socket) -> bool:
    """Wait for the other side's end. True if it came without another byte."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def post(path: str, body: bytes = b"", *fields: str) -> bytes:
    return head("POST", path, f"Content-Length: {len(body)}", *fields) + body


def get(path: str, *fields: str) -> bytes:
    return head("GET", path, *fields)


def head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *fields]).encode() + b"\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@dataclass
class Server:
    """A server process and how to reach it."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)

    def ask(self, request: bytes) -> Answer:
        """One request on a connection of its own."""
        with self.connect() as sock:
            sock.sendall(request)
            return receive(sock)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ANSWER_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path, port: int, **more: str) -> dict[str, str]:
    """The variables of a server whose files are all in ``folder``."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    own = {"PORT": str(port), "TMPDIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/inbox.db"}
    return kept | own | more


def launch(folder: Path, port: int, *options: str, app: str = "tests.web.tiny:app", **variables: str) -> Server:
    """Start gunicorn with the product's own settings; ``options`` and ``variables`` replace some."""
    migrations.apply(environment(folder, port)["DATABASE_URL"])
    argv = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", *options, app]
    output = folder / f"server-{port}-{time.monotonic_ns()}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=environment(folder, port, **variables), stdout=log, stderr=log)
    return Server(process, port, output)


@contextmanager
def serving(folder: Path, *options: str, app: str = "tests.web.tiny:app", **variables: str) -> Iterator[Server]:
    """A server that accepts connections; ended afterwards."""
    server = launch(folder, free_port(), *options, app=app, **variables)
    try:
        await_listening(server)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(ANSWER_SECONDS)


def await_listening(server: Server) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        assert server.process.poll() is None, server.output.read_text()
        assert time.monotonic() < give_up_at, "the server does not listen"
        try:
            server.connect().close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
