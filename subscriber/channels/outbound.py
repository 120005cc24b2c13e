"""How channels reach platforms: TLS always verified, limits, proxies, no cookies, no redirects.

One library session for all channels of a process. It goes by the same rules as ``transport``: a private authority is
trusted by REQUESTS_CA_BUNDLE, proxies come from the environment and are not used for loopback. Unencrypted only
where the configured address itself says http://.

Addresses here carry a token in their query, and the library's errors quote them: so none of those is ever chained to,
shown or logged.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import requests

from subscriber.channels.sockets import Socket
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.api import ApiRequest
from subscriber.transport import THROTTLED, retry_after

CONNECT_SECONDS = 10.0  # name, TCP and TLS; 1,000 connects at start share a core
ANSWER_SECONDS = 30.0  # of one request or upgrade, connecting included
CLOSE_SECONDS = 1.0  # a platform is waited for to close its side; a worker that stops has little more
ANSWER_BYTES = 65_536  # tokens have some 500
MESSAGE_BYTES = 32 << 20  # a topic's backlog holds 25 MiB (the platform's quota), so no message of it is larger
CONNECTING = 16  # at a time: as many requests as a small platform serves at once
LARGE_BYTES = 262_144  # of an answer read in pieces; a thousand such are the 64 MB of `admitter` four times
LARGE_AT_ONCE = 4  # at most 32 MB each (smartrest.turns)
NAMES_KEPT_SECONDS = 60  # addresses of hosts; a thousand channels of one host do not ask a thousand times
# Idle connections are used again for so long. A platform ends them after some seconds, and a poll sent at that very
# moment breaks off: nobody can tell whether its answer was lost.
POLLS_KEPT_SECONDS = 2.0
ROUTES_KEPT = 1_000  # base addresses whose proxy is remembered; tenants share one as a rule


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status below 500 (429 excepted)."""

    status: int
    body: bytes = field(repr=False)  # may hold a token


class Route(NamedTuple):
    """How a base address is reached. ``trust`` is False where nothing is encrypted."""

    proxy: str | None
    trust: ssl.SSLContext | bool


class Stream:
    """An answer that is read as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, base_url: str) -> None:
        self._response = response
        self._base_url = base_url

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def retry_after_seconds(self) -> int | None:
        """When to come again, as the answer says; None if it does not."""
        lower = {name.lower(): value for name, value in self._response.headers.items()}
        return retry_after(lower, datetime.now(UTC))

    async def piece(self) -> bytes:
        """What came next; empty at the end. Raises ``PlatformUnavailable`` if it broke off before."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _unavailable(error, self._base_url) from None


class Redirected(aiohttp.ClientError):
    """A redirect would carry the token elsewhere."""


class Outbound:
    """Belongs to one event loop.

    Who connects passes ``gate``, so that a restart is no storm. Who reads an answer in pieces passes ``large`` before
    it holds more than ``LARGE_BYTES``.
    """

    def __init__(self, *, connecting: int = CONNECTING) -> None:
        self.gate = asyncio.Semaphore(connecting)
        self.large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._routes: dict[str, Route] = {}
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=NAMES_KEPT_SECONDS),  # the keeper bounds channels
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, connect=CONNECT_SECONDS),
            headers={"User-Agent": "notification-subscriber"},
            ws_response_class=Socket,
            trace_configs=[trace],
        )
        sending = aiohttp.TraceConfig()
        sending.on_request_headers_sent.append(_tell_sent)
        self._polls = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=NAMES_KEPT_SECONDS, keepalive_timeout=POLLS_KEPT_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            headers={"User-Agent": "notification-subscriber", "Accept-Encoding": "identity"},
            auto_decompress=False,  # what is packed against our wish cannot grow here
            trace_configs=[sending],
        )

    async def close(self) -> None:
        await self._polls.close()
        await self._session.close()

    async def send(self, base_url: str, request: ApiRequest, authorization: str) -> Answer:
        """Send a request of a codec and read the answer. Raises ``PlatformUnavailable``."""
        route = self._route(base_url)
        try:
            async with self._session.request(
                request.method,
                base_url + request.path,
                data=request.body,
                headers={**request.headers, "Authorization": authorization},
                allow_redirects=False,
                proxy=route.proxy,
                ssl=route.trust or True,
            ) as response:
                content = await response.content.read(ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(error, base_url) from None
        refuse_failure(response.status, response.headers, base_url)
        return Answer(response.status, content)

    @asynccontextmanager
    async def poll(
        self, base_url: str, request: ApiRequest, authorization: str, sent: Callable[[], None]
    ) -> AsyncIterator[Stream]:
        """Send a request whose answer may be held back, for as long as the caller waits; any status is the caller's.

        ``sent`` is called once there is a connection and the request goes out on it. Leaving early ends the
        connection. Raises ``PlatformUnavailable``.
        """
        route = self._route(base_url)
        try:
            response = await self._polls.request(
                request.method,
                base_url + request.path,
                data=request.body,
                headers={**request.headers, "Authorization": authorization},
                allow_redirects=False,
                proxy=route.proxy,
                ssl=route.trust or True,
                trace_request_ctx=sent,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(error, base_url) from None
        async with response:
            yield Stream(response, base_url)

    async def connect(
        self,
        base_url: str,
        path: str,
        query: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        protocols: Sequence[str] = (),
        message_bytes: int = MESSAGE_BYTES,
    ) -> Socket:
        """Open a WebSocket. Raises ``PlatformRefused`` with the status of a refusal, ``PlatformUnavailable``.

        ``protocols`` are offered as subprotocols. A message of more than ``message_bytes`` ends the connection.
        """
        route = self._route(base_url)
        try:
            socket = await self._session.ws_connect(
                base_url + path,
                params=dict(query),
                headers=headers,
                protocols=protocols,
                proxy=route.proxy,
                ssl=route.trust or True,
                autoping=False,
                max_msg_size=message_bytes,
                decode_text=False,  # a frame that is not UTF-8 is kept as well, and acknowledged
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
        except aiohttp.WSServerHandshakeError as error:
            refuse_failure(error.status, error.headers or {}, base_url)
            raise PlatformRefused("the connection was refused", upstream_status=error.status) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(error, base_url) from None
        assert isinstance(socket, Socket)
        return socket

    def _route(self, base_url: str) -> Route:
        found = self._routes.get(base_url)
        if found is None:
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.clear()
            found = self._routes[base_url] = route_to(base_url)
        return found


def route_to(base_url: str) -> Route:
    """Proxy and trust for a base address, as the environment says."""
    with requests.Session() as session:
        found = session.merge_environment_settings(base_url, {}, None, None, None)
    scheme = urlsplit(base_url).scheme
    proxy = None if _is_loopback(base_url) else found["proxies"].get(scheme)
    return Route(proxy, _context(found["verify"] or True) if scheme == "https" else False)


def refuse_failure(status: int, headers: Mapping[str, str], base_url: str) -> None:
    """Raises ``PlatformUnavailable`` for a status that asks to come later."""
    if status != 429 and status < 500:
        return
    lower = {name.lower(): value for name, value in headers.items()}
    raise PlatformUnavailable(
        f"{urlsplit(base_url).netloc} answered {status}",
        reason=THROTTLED if status == 429 else "platform_failed",
        retry_after_seconds=retry_after(lower, datetime.now(UTC)),
    )


def _context(verify: bool | str) -> ssl.SSLContext:
    """The system's authorities, or those of a file or folder that is named instead of them."""
    if not isinstance(verify, str):
        return ssl.create_default_context()
    folder = Path(verify).is_dir()
    return ssl.create_default_context(cafile=None if folder else verify, capath=verify if folder else None)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _unavailable(error: Exception, base_url: str) -> PlatformUnavailable:
    """The library's error in our words."""
    host = urlsplit(base_url).netloc
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return PlatformUnavailable(f"the certificate of {host} cannot be trusted", reason="tls")
    if isinstance(error, TimeoutError):
        return PlatformUnavailable(f"{host} did not answer in time", reason="timeout")
    if isinstance(error, Redirected):
        return PlatformUnavailable(f"{host} points elsewhere, where no token is sent", reason="redirect")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return PlatformUnavailable(f"cannot reach {host}", reason="unreachable")
    return PlatformUnavailable(f"{host} answered no readable HTTP", reason="unreadable_answer")


async def _refuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    raise Redirected


async def _tell_sent(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    context.trace_request_ctx()
