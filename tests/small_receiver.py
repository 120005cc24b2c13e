"""A receiver of forwarded notifications made small: a loopback port that answers as told and keeps what it got."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    path: str
    headers: dict[str, str]  # lower-case names
    body: bytes
    connection: tuple[str, int]  # the caller's address and port: equal for requests on one connection


class SmallReceiver:
    """Use as a context manager. ``url`` is its address."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.answer = b""
        self.extra_headers: dict[str, str] = {}
        self.hang_up = 0  # so many next requests are read and then dropped without an answer
        self.open = threading.Event()  # while clear, nobody gets an answer
        self.open.set()
        self.on_request: Callable[[Request], int | None] = lambda request: None  # may say another status
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> SmallReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _handler(receiver: SmallReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.path, headers, body, self.client_address)
            receiver.requests.append(request)
            receiver.open.wait(10)
            if receiver.hang_up:
                receiver.hang_up -= 1
                self.close_connection = True
                return
            self._answer(receiver.on_request(request) or receiver.status)

        do_GET = do_POST

        def _answer(self, status: int) -> None:
            self.send_response(status)
            for name, value in receiver.extra_headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(receiver.answer)))
            self.end_headers()
            try:
                self.wfile.write(receiver.answer)
            except OSError:
                self.close_connection = True  # the caller has read enough

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at ``requests``."""

    return Handler
