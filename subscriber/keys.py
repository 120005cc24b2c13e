"""Public keys of the identity servers: which we admit, how we fetch them and how long we trust them.

A key's address comes from the configuration, never from a token. A fetch is small, short, verified by TLS and follows
no redirect. A key server that is asked for strange keys, answers slowly or not at all costs us one fetch per
cool-down, and never the keys we already hold.
Follows RFC 7517 (JSON Web Key), RFC 7518 section 6.3 (RSA members) and the MindSphere reference, section 5.6.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket
from typing import cast
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool

from subscriber.errors import InvalidToken, KeysUnavailable

logger = logging.getLogger(__name__)


def base64url_bytes(text: str) -> bytes:
    """The bytes of unpadded base64url in its one canonical spelling (RFC 7515, section 2).

    Raises ``ValueError`` for padding, foreign characters, impossible lengths and stray bits in the last character:
    the decoder forgives most of them, so what it returns is spelled again and compared.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise ValueError("not canonical base64url")
    return data


def json_object(document: bytes) -> dict[str, object]:
    """The JSON object in ``document``, UTF-8 only.

    Raises ``ValueError``, also for a member name that comes twice (two readers would disagree about it), for NaN
    and the infinities, and for nesting beyond the parser's depth.
    """
    try:
        value: object = json.loads(document.decode(), object_pairs_hook=_unique_members, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name comes twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError("not a JSON number")


MAX_KEYS = 64  # a zone shows its current key and a few retired ones; far more is not a key set we know
MAX_KID_CHARS = 255  # the platform prints short names; a column's width is plenty

# 2048: the least that NIST SP 800-131A and RFC 7518 section 3.3 allow. 8192: a signature then costs 0.3 ms to check,
# five times that of 2048 bits; beyond, a key set could make every token expensive.
MODULUS_BITS = range(2048, 8192 + 1)

# Below 2^16 padding mistakes become forgeries (NIST SP 800-56B asks for more); OpenSSL takes no more than 64 bits
# with large moduli, and everybody uses 65537.
MIN_EXPONENT = 2**16 + 1
MAX_EXPONENT = 2**64 - 1

# Members that only a symmetric or a private key has (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
SECRET_MEMBERS = frozenset({"k", "d", "p", "q", "dp", "dq", "qi", "oth"})


def admit_keys(document: bytes) -> dict[str, RSAPublicKey]:
    """The keys of a JSON Web Key set that may verify RS256, by ``kid``; at least one.

    Keys for other purposes are passed over. The whole set is refused when it shows that its publisher has lost
    control: a symmetric or private key in it, or a ``kid`` that comes twice. The platform's PEM copy in ``value`` is
    not read, so that there is one truth per key: ``n`` and ``e``.
    Raises ``KeysUnavailable`` (reason ``key_set``).
    """
    try:
        return _admitted(json_object(document))
    except ValueError as error:
        raise KeysUnavailable(f"no usable key set: {error}", reason="key_set") from error


def _admitted(key_set: dict[str, object]) -> dict[str, RSAPublicKey]:
    keys = _members(key_set.get("keys"))
    if any(key.get("kty") == "oct" or SECRET_MEMBERS & key.keys() for key in keys):
        raise ValueError("a symmetric or private key among the public ones")
    kids = [key["kid"] for key in keys if isinstance(key.get("kid"), str)]
    if len(set(kids)) != len(kids):
        raise ValueError("a kid comes twice")
    fit = {str(key["kid"]): _public_key(key) for key in keys if _is_for_rs256(key)}
    admitted = {kid: key for kid, key in fit.items() if key is not None}
    if not admitted:
        raise ValueError("no key in it fits")
    return admitted


def _members(keys: object) -> list[dict[str, object]]:
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"`keys` must be a list of at most {MAX_KEYS}")
    members = [key for key in keys if isinstance(key, dict)]
    if len(members) != len(keys):
        raise ValueError("a key must be an object")
    return members


def _is_for_rs256(key: dict[str, object]) -> bool:
    return (
        key.get("kty") == "RSA"
        and key.get("use", "sig") == "sig"
        and key.get("alg", "RS256") == "RS256"
        and _may_verify(key.get("key_ops", ["verify"]))
        and is_kid(key.get("kid"))
    )


def _may_verify(operations: object) -> bool:
    """Signing is the one operation that may stand beside verifying (RFC 7517, section 4.3)."""
    return operations in (["verify"], ["sign", "verify"], ["verify", "sign"])


def is_kid(value: object) -> bool:
    """Whether ``value`` can name a key: a short, printable, non-empty string."""
    return isinstance(value, str) and 0 < len(value) <= MAX_KID_CHARS and value.isprintable()


def _public_key(key: dict[str, object]) -> RSAPublicKey | None:
    """The RSA key of ``n`` and ``e``; None if these numbers are missing, misspelled or unsafe."""
    modulus, exponent = _number(key.get("n")), _number(key.get("e"))
    if modulus.bit_length() not in MODULUS_BITS or modulus % 2 == 0 or _is_roca(modulus):
        return None
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT or exponent % 2 == 0:
        return None
    return RSAPublicNumbers(exponent, modulus).public_key()


def _number(text: object) -> int:
    """The big-endian number in ``text``; 0, which is never fit, if there is none. Leading zero bytes are harmless."""
    if not isinstance(text, str):
        return 0
    with suppress(ValueError):
        return int.from_bytes(base64url_bytes(text), "big")
    return 0


# A flawed library (CVE-2017-15361, "ROCA") drew its primes as k*M + 65537^a mod M, M a product of small primes. Its
# moduli are therefore powers of 65537 modulo each of these; another modulus passes for one once in 2^27.
ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_RESIDUES = {prime: frozenset(pow(65537, power, prime) for power in range(prime)) for prime in ROCA_PRIMES}


def _is_roca(modulus: int) -> bool:
    """Whether the private key can be computed from the modulus, by the fingerprint of the flawed library."""
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES.items())


MAX_DOCUMENT_BYTES = 256 * 1024  # 64 keys of 8192 bits with their PEM copies need 200 KiB
FETCH_SECONDS = 5.0  # the platform's servers answer in well under one; callers wait for this
CHUNK_BYTES = 16 * 1024


def fetch_keys(url: str, *, deadline_seconds: float = FETCH_SECONDS) -> bytes:
    """The document at ``url``: status 200, at most ``MAX_DOCUMENT_BYTES``, complete within the deadline.

    Raises ``KeysUnavailable`` with reason ``unreachable``, ``status``, ``size`` or ``slow``.
    """
    adapter = _CuttableAdapter()
    watchdog = threading.Timer(deadline_seconds, adapter.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        with requests.Session() as session:
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            document = _document(session, url, deadline_seconds)
    except (requests.RequestException, ValueError) as error:  # ValueError: no address at all
        raise _failure(adapter, error) from error
    finally:
        watchdog.cancel()
    if adapter.was_cut:  # a body without a declared length just ends
        raise _failure(adapter, None)
    return document


def _failure(adapter: _CuttableAdapter, error: Exception | None) -> KeysUnavailable:
    if adapter.was_cut or isinstance(error, requests.Timeout):
        return KeysUnavailable("the key server took too long", reason="slow")
    return KeysUnavailable(f"no answer from the key server ({type(error).__name__})", reason="unreachable")


def _document(session: requests.Session, url: str, timeout_seconds: float) -> bytes:
    with session.get(
        url,
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        auth=_nobody,
        allow_redirects=False,
        verify=True,
        proxies=_proxies(url),
        stream=True,
        timeout=timeout_seconds,
    ) as answer:
        if answer.status_code != requests.codes.ok:
            raise KeysUnavailable(f"the key server answered {answer.status_code}", reason="status")
        document = bytearray()
        for chunk in answer.iter_content(CHUNK_BYTES):
            document += chunk
            if len(document) > MAX_DOCUMENT_BYTES:
                raise KeysUnavailable("the key server's answer is too large", reason="size")
        return bytes(document)


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No credentials: without an ``auth`` of its own, requests would send what a .netrc file holds."""
    return request


def _proxies(url: str) -> dict[str, str]:
    """The environment's proxies, except towards this machine itself, which a proxy cannot reach."""
    host = urlsplit(url).hostname or ""
    is_own = host in ("localhost", "::1") or host.startswith("127.")
    return {"no_proxy": host} if is_own else {}


class _CuttableAdapter(HTTPAdapter):
    """Remembers the connections it opens, so that a watchdog can cut them.

    The time-out of requests is per read: a server that sends its header byte by byte would never run into it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.was_cut = False
        self._opened: list[socket] = []

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        pool = cast(HTTPConnectionPool, super().get_connection_with_tls_context(request, verify, proxies, cert))
        remember = self._remember

        class Connection(pool.ConnectionCls):  # type: ignore[name-defined,misc]  # plain or TLS, as the pool wants
            def connect(self) -> None:
                super().connect()
                remember(self.sock)

        pool.ConnectionCls = Connection
        return pool

    def _remember(self, connected: socket) -> None:
        self._opened.append(connected)
        if self.was_cut:
            self.cut()

    def cut(self) -> None:
        """End every connection, opened or still to be opened. Safe from any thread."""
        self.was_cut = True
        for connected in self._opened:
            with suppress(OSError):  # already closed
                connected.shutdown(SHUT_RDWR)


COOL_DOWN_SECONDS = 30.0  # from start to start, after success and failure alike (reference, section 5.5 step 5)
REFRESH_SECONDS = 3600.0  # keys of this age are fetched again in the background (reference, section 5.6)

# During an outage of the key server known keys go on being trusted, but not for ever: a key withdrawn because it was
# stolen dies at last when we have heard nothing for a day.
STALE_SECONDS = 24 * 3600.0

WAIT_SECONDS = FETCH_SECONDS + 1  # name resolution is not under the fetch's deadline; no delivery waits for it

# Callers with unknown keys that may wait at once while other keys are held: invented kids must not take all threads.
MAX_WAITING = 16


@dataclass(frozen=True, slots=True)
class _Held:
    """What the last successful fetch brought, replaced as a whole. ``fetched_at`` is when it started."""

    keys: Mapping[str, RSAPublicKey]
    fetched_at: float


class KeySource:
    """The keys of one zone, fetched when needed. Safe for many threads; after a fork a child makes its own.

    ``fetch`` brings the document at ``url`` or raises ``KeysUnavailable``. ``timer`` counts seconds and never goes
    back.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], bytes] = fetch_keys,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._fetch = fetch
        self._timer = timer
        self._held = _Held({}, -math.inf)
        self._tried_at = -math.inf
        self._flight: threading.Event | None = None
        self._lock = threading.Lock()
        self._seats = threading.BoundedSemaphore(MAX_WAITING)

    def key(self, kid: str) -> RSAPublicKey:
        """The key named ``kid``. A new object after every fetch, so that identity tells whether it was renewed.

        A known key is returned at once. For an unknown one the server is asked, if the cool-down allows it, and
        callers that come meanwhile wait for the same answer.
        Raises ``InvalidToken`` (reason ``kid``) if the server was asked lately and has no such key;
        ``KeysUnavailable`` if it could not be asked.
        """
        now, seen = self._timer(), self._held
        found = self._known(kid, now)
        if found is None:
            return self._asked_for(kid, now, seen)
        if now - self._held.fetched_at >= REFRESH_SECONDS:
            self._launch(now, seen)
        return found

    def _known(self, kid: str, now: float) -> RSAPublicKey | None:
        held = self._held
        return held.keys.get(kid) if now - held.fetched_at < STALE_SECONDS else None

    def _asked_for(self, kid: str, now: float, seen: _Held) -> RSAPublicKey:
        flight = self._launch(now, seen)
        if flight is not None:
            self._await(flight)
        found = self._known(kid, now)
        if found is not None:
            return found
        if now - self._held.fetched_at < COOL_DOWN_SECONDS:
            raise InvalidToken("the issuer has no such key", reason="kid")
        raise KeysUnavailable("the issuer's keys cannot be fetched")

    def _await(self, flight: threading.Event) -> None:
        """Wait for a fetch; while other keys serve, only in limited numbers."""
        if not self._held.keys:
            flight.wait(WAIT_SECONDS)
        elif self._seats.acquire(blocking=False):
            try:
                flight.wait(WAIT_SECONDS)
            finally:
                self._seats.release()

    def _launch(self, now: float, seen: _Held) -> threading.Event | None:
        """The fetch under way, started if there is none; None if the cool-down forbids one.

        None as well if what the caller has looked into is outdated: a fetch came home meanwhile, look again.
        """
        with self._lock:
            idle = self._flight is None and self._held is seen
            if idle and now - self._tried_at >= COOL_DOWN_SECONDS:
                flight = threading.Event()
                threading.Thread(target=self._fly, args=(flight, now), name="key-fetch", daemon=True).start()
                self._flight, self._tried_at = flight, now
            return self._flight

    def _fly(self, flight: threading.Event, started_at: float) -> None:
        try:
            keys = admit_keys(self._fetch(self.url))
            self._held = _Held(keys, started_at)
            logger.info("keys fetched", extra={"action": "keys_fetched", "url": self.url, "keys": len(keys)})
        except KeysUnavailable as error:
            extra = {"action": "keys_not_fetched", "url": self.url, "reason": error.reason}
            logger.warning("keys not fetched: %s", error.detail, extra=extra)
        except Exception:
            logger.exception(
                "keys not fetched", extra={"action": "keys_not_fetched", "url": self.url, "reason": "bug"}
            )
        finally:
            with self._lock:
                self._flight = None
            flight.set()
