"""A platform made small: Token Manager, list of user tenants and Message Broker on one loopback port.

It answers as the documentation says and keeps every request; a test changes its behaviour through attributes.
"""

from __future__ import annotations

import threading
from base64 import b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import orjson

Reply = tuple[int, Any]  # status and JSON body (None: empty)
TOKEN_PATH = "/api/technicaltokenmanager/v3/oauth/token"
LIST_PATH = "/api/technicaltokenmanager/v3/userTenants"


class Call(NamedTuple):
    method: str
    path: str
    tenant: str  # of the token used; empty for the Token Manager itself
    body: Any


def jwt(tenant: str, number: int, issued_at: float, expires_at: float) -> str:
    claims = {"ten": tenant, "iat": int(issued_at), "exp": int(expires_at), "jti": str(number)}
    return "e30." + urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode() + ".c2ln"


def refusal(code: str, message: str = "no") -> dict[str, Any]:
    return {"errors": [{"code": f"mdsp.core.generic.{code}", "logref": "1", "message": message}]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was interrupted has hung up: that is part of the tests."""


class SmallPlatform:
    """Use as a context manager. ``url`` is its gateway."""

    host = "acmeop"
    secret = "s3cret"

    def __init__(self, *tenants: str, now: Callable[[], float] | None = None) -> None:
        self.tenants = list(tenants)
        self.now = now or (lambda: 1_800_000_000.0)
        self.token_seconds = 1800
        self.page_size = 100
        self.refused_tokens: set[str] = set()  # the broker answers 401 to these
        self.refused_verbs: set[str] = set()
        self.replies: dict[str, Reply] = {}  # by tenant/topic, tenant, or the last part of the path
        self.retry_after = 0  # seconds that a 429 asks for; 0: it says nothing
        self.pages: Callable[[int], Reply] | None = None  # replaces the list of user tenants
        self.open = threading.Event()  # while clear, the Token Manager does not answer
        self.open.set()
        self.broker_open = threading.Event()  # while clear, the broker does not
        self.broker_open.set()
        self.calls: list[Call] = []
        self.issued: list[str] = []
        self.subscriptions: dict[tuple[str, str], str] = {}
        self.tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> SmallPlatform:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self.broker_open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def environ(self) -> dict[str, str]:
        """The settings of a subscriber that is registered here."""
        return {
            "MDSP_GATEWAY_URL": self.url,
            "MDSP_KEY_STORE_CLIENT_ID": f"{self.host}-alarmapi-v1.4.2",
            "MDSP_KEY_STORE_CLIENT_SECRET": self.secret,
            "MDSP_OS_VM_APP_NAME": "alarmapi",
            "MDSP_OS_VM_APP_VERSION": "v1.4.2",
        }

    def count(self, method: str = "", path: str = "") -> int:
        return sum(method in ("", call.method) and path in call.path for call in self.calls)

    def methods(self, path: str) -> Counter[str]:
        return Counter(call.method for call in self.calls if path in call.path)

    def answer(self, method: str, target: str, headers: dict[str, str], body: Any) -> Reply:
        path = urlsplit(target).path
        if path == TOKEN_PATH:
            return self._token(headers, body)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        with self._lock:
            tenant = self.tokens.get(token, "")
            self.calls.append(Call(method, target, tenant, body))
        if not tenant or token in self.refused_tokens:
            return 401, refusal("unauthorized")
        if path == LIST_PATH:
            return self._list(int(parse_qs(urlsplit(target).query)["page"][0]))
        return self._broker(method, path, tenant, body)

    def _token(self, headers: dict[str, str], body: Any) -> Reply:
        tenant = str(body["userTenant"])
        with self._lock:
            self.calls.append(Call("POST", TOKEN_PATH, "", body))
        self.open.wait(10)
        known = b64decode(headers["x-space-auth-key"].removeprefix("Basic ")).decode()
        if known != f"{self.host}-alarmapi-v1.4.2:{self.secret}":
            return 401, refusal("unauthorized")
        if tenant in self.replies:
            return self.replies[tenant]
        with self._lock:
            token = jwt(tenant, len(self.issued), self.now(), self.now() + self.token_seconds)
            self.issued.append(token)
            self.tokens[token] = tenant
        return 200, {"access_token": token}

    def _list(self, page: int) -> Reply:
        if self.pages is not None:
            return self.pages(page)
        size = self.page_size
        names = self.tenants[page * size : (page + 1) * size]
        pages = -(-len(self.tenants) // size)
        numbers = {"size": size, "totalElements": len(self.tenants), "totalPages": pages, "number": page}
        return 200, {"userTenants": [{"id": name} for name in names], "page": numbers}

    def _broker(self, method: str, path: str, tenant: str, body: Any) -> Reply:
        self.broker_open.wait(10)
        topic = path.rsplit("/", 1)[1]
        if method in self.refused_verbs:
            return 405, None
        for name in (f"{tenant}/{topic}", topic):
            if name in self.replies:
                return self.replies[name]
        if method == "GET":
            uri = self.subscriptions.get((tenant, topic))
            return (404, refusal("noMatch")) if uri is None else (200, {"uri": uri})
        if method == "DELETE":
            removed = self.subscriptions.pop((tenant, topic), None)
            return (404, refusal("noMatch")) if removed is None else (204, None)
        with self._lock:
            status = 200 if (tenant, topic) in self.subscriptions else 201
            self.subscriptions[tenant, topic] = body["uri"]
        return status, body


def _handler(platform: SmallPlatform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: without this each answer waits 40 ms

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = orjson.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, reply = platform.answer(self.command, self.path, headers, body)
            content = b"" if reply is None else orjson.dumps(reply)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 429 and platform.retry_after:
                self.send_header("Retry-After", str(platform.retry_after))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler
