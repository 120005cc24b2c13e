"""Real signed tokens and a real key server for tests, made without the libraries that the product verifies with.

``mint`` signs; ``KeyServer`` publishes keys on the loopback interface, and misbehaves on demand.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

KID = "key-id-1"
SCOPE = "alarmapi.notify"
Json = dict[str, Any]  # a JSON object: a key, a header or a set of claims


class SetClock:
    """A clock, or timer, that stands still until it is moved. Seconds."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@cache
def signing_key(name: str = "first", bits: int = 2048) -> RSAPrivateKey:
    """An RSA key; the same one for the same name all session long."""
    return generate_private_key(public_exponent=65537, key_size=bits)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwk(kid: str = KID, key: RSAPrivateKey | RSAPublicKey | None = None, **members: object) -> Json:
    """The public key as a JSON Web Key; ``members`` add or replace, None removes."""
    key = key or signing_key()
    public = key.public_key() if isinstance(key, RSAPrivateKey) else key
    numbers = public.public_numbers()
    plain: Json = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "n": base64url(_big_endian(numbers.n)),
        "e": base64url(_big_endian(numbers.e)),
    }
    return _overridden(plain, members)


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def broker_claims(issuer: str, *, now: float | None = None, **claims: object) -> Json:
    """The claims of a Message Broker's token for tenant custaa; ``claims`` add or replace, None removes."""
    issued_at = int(time.time() if now is None else now)
    plain: Json = {
        "jti": "5f0c2d4e6a8b4c1d9e7f0a1b2c3d4e5f",
        "sub": "message-broker",
        "scope": [SCOPE],
        "client_id": "message-broker",
        "cid": "message-broker",
        "azp": "message-broker",
        "grant_type": "client_credentials",
        "iat": issued_at,
        "exp": issued_at + 1800,
        "iss": issuer,
        "zid": "core",
        "aud": ["message-broker", "alarmapi"],
        "ten": "custaa",
    }
    return _overridden(plain, claims)


def mint(
    claims: Mapping[str, object] | bytes,
    *,
    kid: str = KID,
    key: RSAPrivateKey | None = None,
    header: Mapping[str, object] | bytes | None = None,
) -> str:
    """A token signed with RS256, whatever its header says. Bytes are taken as they are, to allow what JSON forbids.

    ``header`` adds to or replaces alg, typ and kid; None removes.
    """
    plain = {"alg": "RS256", "kid": kid, "typ": "JWT"}
    head = header if isinstance(header, bytes) else _json(_overridden(plain, header or {}))
    body = claims if isinstance(claims, bytes) else _json(claims)
    return signed(f"{base64url(head)}.{base64url(body)}", key)


def signed(signing_input: str, key: RSAPrivateKey | None = None) -> str:
    """The compact form of a signing input, however it is spelled."""
    signature = (key or signing_key()).sign(signing_input.encode(), PKCS1v15(), SHA256())
    return f"{signing_input}.{base64url(signature)}"


def bearer(token: str) -> str:
    return f"Bearer {token}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _overridden(plain: Mapping[str, object], changes: Mapping[str, object]) -> Json:
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


class Answer(StrEnum):
    """How a key server behaves."""

    KEYS = "keys"  # the key set of the zone in the path
    ERROR = "error"  # 500, with the key set as its body
    REDIRECT = "redirect"  # 302 to /elsewhere
    GARBAGE = "garbage"  # 200, not JSON
    HUGE = "huge"  # 200, a key set behind a mebibyte of spaces, its length declared
    HUGE_CHUNKS = "huge_chunks"  # the same without a length
    HANG_UP = "hang_up"  # closes without an answer
    STALL = "stall"  # says nothing until `proceed` is set, then the keys
    DRIP_HEADER = "drip_header"  # a header that never ends, byte by byte
    DRIP_BODY = "drip_body"  # a body that never ends, byte by byte


DRIP_SECONDS = 0.02  # between two bytes: every single read succeeds


class KeyServer:
    """The key servers of all zones on one loopback port: ``{url}/{zone}.piam/token_keys``. Use it in ``with``."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = Answer.KEYS
        self.proceed = threading.Event()
        self.hits: list[str] = []  # the paths asked for, in order
        self.headers: list[dict[str, str]] = []  # the headers of the same requests
        self._keys: dict[str, list[Json]] = {}
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def issuer(self, zone: str) -> str:
        return f"{self.url}/{zone}.piam/oauth/token"

    def keys_url(self, zone: str) -> str:
        return f"{self.url}/{zone}.piam/token_keys"

    def publish(self, keys: Iterable[Json], zone: str = "core") -> None:
        """From now on these are the keys of the zone; other zones have none."""
        self._keys[zone] = list(keys)

    def __enter__(self) -> KeyServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening: from now on connections are refused."""
        self._over.set()
        self.proceed.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.hits.append(self.path)
                owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                owner._respond(self)

            def log_message(self, format: str, *args: object) -> None:
                """Tests read ``hits``."""

        return Handler

    def _respond(self, request: BaseHTTPRequestHandler) -> None:
        document = key_set(*self._keys.get(request.path.removeprefix("/").split(".piam")[0], []))
        match self.answer:
            case Answer.KEYS:
                _send(request, 200, document)
            case Answer.ERROR:
                _send(request, 500, document)
            case Answer.REDIRECT:
                _send(request, 302, b"", Location=f"{self.url}/elsewhere")
            case Answer.GARBAGE:
                _send(request, 200, b"<html>maintenance</html>")
            case Answer.HUGE:
                _send(request, 200, b" " * 2**20 + document)
            case Answer.HUGE_CHUNKS:
                request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 2**20 + document)
            case Answer.HANG_UP:
                return
            case Answer.STALL:
                self.proceed.wait()
                _send(request, 200, document)
            case Answer.DRIP_HEADER:
                self._drip(request, b"HTTP/1.0 200 OK\r\nX-Slow: ")
            case Answer.DRIP_BODY:
                self._drip(request, b"HTTP/1.0 200 OK\r\n\r\n")

    def _drip(self, request: BaseHTTPRequestHandler, start: bytes) -> None:
        request.wfile.write(start)
        while not self._over.wait(DRIP_SECONDS):
            request.wfile.write(b" ")


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what some tests are about."""
