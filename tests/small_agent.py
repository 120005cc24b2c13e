"""An ngrok agent made small: answers its two lists on a loopback port, in the shapes that are published."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


def tunnel(addr: str, url: str = "https://a1b2.ngrok-free.app", proto: str = "https") -> dict[str, Any]:
    """One entry of ``/api/tunnels``."""
    return {
        "ID": "f3c1",
        "name": "command_line",
        "uri": "/api/tunnels/command_line",
        "public_url": url,
        "proto": proto,
        "config": {"addr": addr, "inspect": True},
        "metrics": {"conns": {"count": 0}, "http": {"count": 0}},
    }


def endpoint(upstream: str, url: str = "https://c3d4.ngrok.app") -> dict[str, Any]:
    """One entry of ``/api/endpoints``, as agents with a version 3 configuration tell them."""
    return {"id": "ep_1", "name": "app", "url": url, "upstream": {"url": upstream, "protocol": "http1"}}


class SmallAgent:
    """Use as a context manager. ``api`` is what NGROK_API_URL names; a test sets the two bodies (None: 404)."""

    def __init__(self) -> None:
        self.replies: dict[str, bytes | None] = {"/api/tunnels": None, "/api/endpoints": None}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.api = f"http://127.0.0.1:{self._server.server_port}/api"

    def __enter__(self) -> SmallAgent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def tunnels(self, *entries: object) -> None:
        self.replies["/api/tunnels"] = orjson.dumps({"tunnels": entries, "uri": "/api/tunnels"})

    def endpoints(self, *entries: object) -> None:
        self.replies["/api/endpoints"] = orjson.dumps({"endpoints": entries, "uri": "/api/endpoints"})


def _handler(agent: SmallAgent) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            agent.asked.append(self.path)
            body = agent.replies.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    return Handler
