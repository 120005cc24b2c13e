"""Outbound HTTP to one platform: time-outs, repetition with jitter, bounded answers.

A transport is bound to the base address it was made for and sends nowhere else: it follows no redirect, keeps no
cookie, reads no ``.netrc``. It never looks into a body and never logs one. It knows no platform's words: codecs build
the requests and read the answers. What is sent here may be sent again, so every request must be safe to repeat.

TLS is always verified; a private authority is trusted by REQUESTS_CA_BUNDLE, and the environment's proxies are used
except for loopback, as the HTTP library documents.

Retry-After: RFC 9110, section 10.2.3. Delays between attempts: exponential with full jitter.
"""

from __future__ import annotations

import io
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPResponse
from http.cookiejar import Cookie, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from subscriber.errors import PlatformUnavailable

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0  # a gateway that does not accept within this is away
ANSWER_SECONDS = 30.0  # first to last byte of an answer; half of the minute after which gateways give up (assumption)
MAX_ANSWER_BYTES = 1_048_576  # our own calls get some kilobytes; handlers that read lists ask in pages
ATTEMPTS = 3  # one hiccup and one restart of the far side; longer outages belong to the caller's schedule
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_MAX_SECONDS = 8.0
PATIENCE_SECONDS = 15  # a longer Retry-After is handed to the caller instead of being waited for
RETRY_AFTER_MAX_SECONDS = 86_400  # nobody is believed who asks for more than a day
POOLED_CONNECTIONS = 8  # as many as handlers run at once by default
HOPELESS = ("tls", "answer_too_large")  # the same again at once would end the same
THROTTLED = "throttled"  # reason of the error for a 429

Pause = Callable[[float], bool]  # waits so many seconds; True = stop, do not try again (``Event.wait`` fits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status below 500 (429 excepted). Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)  # may hold a token


class Transport:
    """Sends requests to one base address. May be used from many threads at once."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        attempts: int = ATTEMPTS,
        connections: int = POOLED_CONNECTIONS,
        pause: Pause | None = None,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``pause`` waits between attempts; hand in the ``wait`` of a stop event to end waiting early.

        ``attempts`` 1: the caller has a patience of its own, and tells of failures itself. ``connections`` are kept
        for the next request. ``jitter`` yields numbers from 0 up to 1. ``now`` is only for a Retry-After that names
        a date.
        """
        self.base_url = base_url.rstrip("/")
        self._timeout = (connect_seconds, answer_seconds)
        self._attempts = attempts
        self._pause = pause or threading.Event().wait
        self._jitter = jitter
        self._now = now
        self._session = _session(self.base_url, connections)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send, and repeat while the far side is away, throttles (429) or fails (5xx).

        ``path`` starts with a slash and may carry a query. Raises ``PlatformUnavailable`` after ``attempts``, or as
        soon as the far side asks for more than ``PATIENCE_SECONDS``.
        """
        for number in range(1, self._attempts + 1):
            try:
                return self._attempt(method, path, headers, body)
            except PlatformUnavailable as error:
                delay = self._delay(number, error.retry_after_seconds)
                hopeless = error.reason in HOPELESS or delay > PATIENCE_SECONDS
                if self._attempts == 1:
                    raise
                if number == self._attempts or hopeless or self._pause(delay):
                    _log_given_up(method, path, number, error)
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Let go of all connections."""
        self._session.close()

    def _delay(self, number: int, asked_seconds: int | None) -> float:
        ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** (number - 1))
        return max(self._jitter() * ceiling, asked_seconds or 0)

    def _attempt(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        answer = self._exchange(method, path, headers, body)
        if answer.status != 429 and answer.status < 500:
            return answer
        asked_seconds = retry_after(answer.headers, self._now())
        later = "" if asked_seconds is None else f", come back in {asked_seconds} s"
        raise PlatformUnavailable(
            f"{method} {_without_query(path)} was answered {answer.status}{later}",
            reason=THROTTLED if answer.status == 429 else "platform_failed",
            retry_after_seconds=asked_seconds,
            upstream_status=answer.status,
        )

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request and its whole answer. Every error of the HTTP library ends here."""
        try:
            with self._session.request(
                method,
                self.base_url + path,
                headers=dict(headers),
                data=body,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _unavailable(error, f"{method} {_without_query(path)}", self.base_url) from error
        if len(content) > MAX_ANSWER_BYTES:
            detail = f"the answer to {method} {_without_query(path)} is larger than {MAX_ANSWER_BYTES} bytes"
            raise PlatformUnavailable(detail, reason="answer_too_large")
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status_code, headers=lower, body=content)


def retry_after(headers: Mapping[str, str], now: datetime) -> int | None:
    """Seconds that a Retry-After header asks for, at most a day; None if absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_MAX_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)  # "-0000" parses as naive; it means UTC
    return min(max(0, round((moment - now).total_seconds())), RETRY_AFTER_MAX_SECONDS)


def _session(base_url: str, connections: int) -> requests.Session:
    session = requests.Session()
    session.headers.update({"User-Agent": "notification-subscriber", "Accept-Encoding": "identity"})
    session.auth = _keep_authorization
    session.cookies.set_policy(_NoCookies())
    _settle_environment(session, base_url)
    session.mount(base_url.split("://", 1)[0] + "://", _Adapter(pool_maxsize=connections))
    return session


def _settle_environment(session: requests.Session, base_url: str) -> None:
    """Proxies and private authorities of the environment, read once: per request it takes a third of the time.

    No proxy can reach this machine's own loopback.
    """
    found = session.merge_environment_settings(base_url, {}, None, None, None)
    session.verify = found["verify"]
    session.proxies = {} if _is_loopback(base_url) else found["proxies"]
    session.trust_env = False


def _keep_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without an own auth, the library would replace our bearer token by what ``.netrc`` says of the host."""
    return request


class _NoCookies(DefaultCookiePolicy):
    """A platform's load balancer may set cookies; tokens alone say who we are."""

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        return False


class _TimedReader(io.RawIOBase):
    """Reads a socket up to a fixed moment: a socket's own time-out would start anew with every byte."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    """A response whose head and body have to arrive within one time."""

    def __init__(self, sock: socket.socket, *, seconds: float, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock, seconds))


class _Timed(HTTPConnection):
    """Turns the library's time-out per read into one for the whole answer."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        seconds = self.timeout if self.timeout is not None else ANSWER_SECONDS
        self.response_class = partial(_TimedResponse, seconds=seconds)  # type: ignore[assignment]
        return super().getresponse()


class _TimedTls(_Timed, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTls


class _Adapter(HTTPAdapter):
    """Connections of ours, straight and through a proxy alike."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unavailable(error: Exception, what: str, base_url: str) -> PlatformUnavailable:
    """The library's error in our words. Its text is left out: it is long and may quote a request."""
    host = urlsplit(base_url).netloc
    if isinstance(error, requests.exceptions.SSLError):
        return PlatformUnavailable(f"{what}: the certificate of {host} cannot be trusted", reason="tls")
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return PlatformUnavailable(f"{what}: {host} did not answer in time", reason="timeout")
    if isinstance(error, requests.ConnectionError):
        return PlatformUnavailable(f"{what}: cannot reach {host}", reason="unreachable")
    return PlatformUnavailable(f"{what}: {host} answered no readable HTTP", reason="unreadable_answer")


def _without_query(path: str) -> str:
    return path.partition("?")[0]


def _log_given_up(method: str, path: str, attempts: int, error: PlatformUnavailable) -> None:
    logger.warning(
        "gave up %s %s",
        method,
        _without_query(path),
        extra={"action": "outbound_failed", "attempt": attempts, "reason": error.reason},
    )
