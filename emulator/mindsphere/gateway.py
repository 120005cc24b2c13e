"""The gateway: the only way from the platform, and from users, to an application.

``/api/{app}-{host}/{version}/{endpoint}``: checks the bearer token's signature, finds the registered application
and its path patterns, strips the prefix, adds ``X-Forwarded-*``. Answers 401, 403, 404, 413, 431, 502 and 504 in
the platform's envelope. Deliveries of the broker pass here too, in this process instead of over a socket.

That every endpoint asks for authentication is documented; the rest is assumed (docs/fidelity.md). A caller whose
token holds no scope of the application gets 403: so a missing scope mapping means that nothing arrives.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs, web

from emulator.faults import Faults
from emulator.identity import Claims
from emulator.knobs import Panel
from emulator.mindsphere.access import Access
from emulator.mindsphere.errors import PlatformError, guarded, read_body
from emulator.mindsphere.lines import Broken, Lines
from emulator.mindsphere.registry import Application, Registry

BODY_BOUND = 67_108_864  # 64 MiB: the emulator's own bound on what it holds in memory for one request
POOL_IDLE_S = 15.0  # shorter than any application's keep-alive, so that no attempt meets a closing connection
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "content-length"),
    }
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a gateway path leads. ``path`` is what the application sees, with its query."""

    application: Application
    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an application."""

    method: str
    route: Route
    headers: Mapping[str, str]
    body: bytes
    connect_timeout_s: float
    response_timeout_s: float
    about: tuple[str | int, ...] = ()  # what the fault plan decides by; empty = the next one in line


class CutConnection(Exception):
    """Raised while sending, to break the connection in the middle of a body."""


class Gateway:
    """Holds the keep-alive connections to the applications; ``start`` and ``close`` inside the event loop."""

    def __init__(self, registry: Registry, access: Access, faults: Faults, panel: Panel, direct_url: str) -> None:
        self._registry = registry
        self._access = access
        self._faults = faults
        self._panel = panel
        self._direct_url = direct_url
        self._session: aiohttp.ClientSession | None = None
        self._lines: Lines | None = None

    async def start(self) -> None:
        knobs = self._panel.now
        context = ssl.create_default_context(cafile=knobs.app_ca_file or None)
        connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=POOL_IDLE_S)
        self._lines = Lines(context)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.CONTENT_TYPE, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING),
        )

    async def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
        if self._session is not None:
            await self._session.close()

    def routes(self) -> list[web.RouteDef]:
        handler = guarded(self.forward)
        return [web.route("*", f"{base}/api/{{rest:.*}}", handler) for base in ("", "/gateway")]

    # finding the way

    def resolve(self, path: str) -> Route | None:
        """The registered endpoint of ``/api/{app}-{host}/{version}/{endpoint}``, else None."""
        bare, _, query = path.partition("?")
        parts = bare.split("/", 4)
        if len(parts) < 4 or parts[:2] != ["", "api"]:
            return None
        name, dash, host = parts[2].rpartition("-")
        application = self._registry.hosted(name, host, parts[3]) if dash else None
        endpoint = "/" + (parts[4] if len(parts) == 5 else "")
        if application is None or not application.serves(endpoint):
            return None
        seen = endpoint if self._panel.now.gw_strip_prefix else bare
        return Route(application, f"{seen}?{query}" if query else seen)

    def admit(self, caller: Claims, path: str) -> Route:
        """The route, if this caller may use it: 404 or 403 otherwise."""
        route = self.resolve(path)
        if route is None:
            raise PlatformError("noMatch", "no application is registered there")
        self.require_scope(caller.scopes, route.application)
        return route

    @staticmethod
    def require_scope(scopes: Collection[str], application: Application) -> None:
        if not set(scopes).intersection(application.scopes):
            raise PlatformError("forbidden", "the token holds no scope of this application")

    # anybody's request

    async def forward(self, request: web.Request) -> web.StreamResponse:
        caller = self._access.caller(request)
        path = request.rel_url.raw_path_qs.removeprefix("/gateway")
        route = self.admit(caller, path)
        return await self.pass_on(request, route, passed_on(request))

    async def pass_on(self, request: web.Request, route: Route, headers: Mapping[str, str]) -> web.StreamResponse:
        """A caller's request to the application, and its answer back."""
        self._check_sizes(request)
        body = await read_body(request, self._panel.now.gw_max_body_bytes or BODY_BOUND)
        call = Call(
            request.method,
            route,
            headers,
            body,
            self._panel.now.connect_timeout_s,
            self._panel.now.gw_timeout_s,
        )
        async with self.exchange(call) as response:
            return await _relay(request, response)

    def _check_sizes(self, request: web.Request) -> None:
        limit = self._panel.now.gw_max_header_bytes
        if limit and sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > limit:
            raise PlatformError("headersTooLarge", f"the headers exceed {limit} bytes")

    # the exchange with the application

    @asynccontextmanager
    async def exchange(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """The application's answer; 502 and 504 for what goes wrong on the way. Redirects are not followed."""
        if self._faults.strikes("gateway-502", *call.about):
            raise PlatformError("badGateway", "declared fault")
        assert self._session is not None, "start() was not called"
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=call.connect_timeout_s, sock_read=call.response_timeout_s
        )
        try:
            async with self._session.request(
                call.method,
                self._target(call.route),
                headers={**call.headers, hdrs.CONTENT_LENGTH: str(len(call.body))},
                data=self._payload(call),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                await self._dawdle(call)
                yield response
        except TimeoutError as error:
            raise PlatformError("gatewayTimeout", "the application did not answer in time") from error
        except aiohttp.ClientError as error:
            raise PlatformError("badGateway", f"the application failed: {type(error).__name__}") from error

    async def deliver(self, call: Call) -> int:
        """The same for the broker's own POST: the status of the answer is all it wants."""
        if self._faults.strikes("gateway-502", *call.about):
            raise PlatformError("badGateway", "declared fault")
        assert self._lines is not None, "start() was not called"
        try:
            status = await self._lines.post(
                self._target(call.route),
                call.headers,
                call.body,
                connect_timeout_s=call.connect_timeout_s,
                response_timeout_s=call.response_timeout_s,
                cut=self._faults.strikes("cut", *call.about),
            )
            await self._dawdle(call)
            return status
        except TimeoutError as error:
            raise PlatformError("gatewayTimeout", "the application did not answer in time") from error
        except (Broken, OSError) as error:
            raise PlatformError("badGateway", f"the application failed: {type(error).__name__}") from error

    async def _dawdle(self, call: Call) -> None:
        """Hold the answer back where the fault strikes. Raises ``TimeoutError`` when the caller has waited enough."""
        if self._faults.strikes("slow", *call.about):
            async with asyncio.timeout(call.response_timeout_s):
                await asyncio.sleep(self._panel.now.slow_s)

    def _target(self, route: Route) -> str:
        return (route.application.direct_url or self._direct_url).rstrip("/") + route.path

    def _payload(self, call: Call) -> bytes | AsyncIterator[bytes]:
        if self._faults.strikes("cut", *call.about):
            return _half_of(call.body)
        return call.body


async def _half_of(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    raise CutConnection


def forwarded(client: str, scheme: str, host: str) -> dict[str, str]:
    """What a gateway tells the application about the caller's side."""
    return {"X-Forwarded-For": client, "X-Forwarded-Proto": scheme, "X-Forwarded-Host": host}


def passed_on(request: web.Request) -> dict[str, str]:
    """The caller's headers, ``Authorization`` unchanged; a repeated header's values are joined."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        if name.lower() not in HOP_BY_HOP:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {**headers, **forwarded(request.remote or "", request.scheme, request.host)}


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Hand the answer on as it comes, so that event streams flow."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in HOP_BY_HOP:
            response.headers.add(name, value)
    if hdrs.CONTENT_LENGTH in answer.headers:
        response.content_length = int(answer.headers[hdrs.CONTENT_LENGTH])
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except (aiohttp.ClientError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()  # half an answer is sent: only a broken connection says so
        return response
    await response.write_eof()
    return response
