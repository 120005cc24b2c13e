"""Key servers and service credentials: ``/{zone}.piam/…``, and ``/token_keys`` for the zone ``core``.

The signing key of ``core`` comes first, the zone's own follow (see ``identity``). Key servers are where a
subscriber's trust starts, so their faults live here too: down, slow, garbage, huge.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qs

from aiohttp import hdrs, web

from emulator.faults import Faults
from emulator.identity import KeyRing
from emulator.knobs import Panel
from emulator.mindsphere.access import Access, basic_credentials
from emulator.mindsphere.errors import PlatformError, guarded, read_body
from emulator.mindsphere.registry import Registry, ServiceAccount

FORM_LIMIT = 16_384
HUGE_CHUNK, HUGE_CHUNKS = b" " * 65_536, 1024  # 64 MiB: more than any key set, less than it takes to hurt us


class Piam:
    """The OAuth servers of all zones."""

    def __init__(self, keys: KeyRing, registry: Registry, access: Access, faults: Faults, panel: Panel) -> None:
        self._keys = keys
        self._registry = registry
        self._access = access
        self._faults = faults
        self._panel = panel

    def routes(self) -> list[web.RouteDef]:
        keys, token = guarded(self.token_keys), guarded(self.token)
        return [
            web.get("/token_keys", keys),
            web.get("/{zone:[a-z][a-z0-9]*}.piam/token_keys", keys),
            web.post("/{zone:[a-z][a-z0-9]*}.piam/oauth/token", token),
        ]

    async def token_keys(self, request: web.Request) -> web.StreamResponse:
        zone = self._zone(request)
        if self._faults.strikes("keys-down"):
            return _hang_up(request)
        if self._faults.strikes("keys-slow"):
            await asyncio.sleep(self._panel.now.slow_s)
        if self._faults.strikes("keys-garbage"):
            return web.Response(body=b"\xff<html>no keys here", content_type="application/json")
        if self._faults.strikes("keys-huge"):
            return await _huge(request)
        return web.json_response({"keys": [key.published for key in self._keys.published(zone)]})

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Service credentials of the zone's tenant for a token; grant_type client_credentials only."""
        zone = self._zone(request)
        client_id, secret = basic_credentials(request.headers.get(hdrs.AUTHORIZATION, ""), ("basic",))
        holder = self._registry.authenticate(client_id, secret)
        if not isinstance(holder, ServiceAccount) or holder.tenant != zone:
            raise PlatformError("unauthorized", "bad credentials")
        form = parse_qs((await read_body(request, FORM_LIMIT)).decode("utf-8", "replace"))
        if form.get("grant_type") != ["client_credentials"]:
            raise PlatformError("invalidRequestBodyProperty", "grant_type must be client_credentials")
        return web.json_response(token_answer(self._access.service_token(holder), self._panel))

    def _zone(self, request: web.Request) -> str:
        zone = request.match_info.get("zone", "core")
        if not self._registry.zone_exists(zone):
            raise PlatformError("noMatch", "no such zone")
        return zone


def token_answer(token: str, panel: Panel) -> dict[str, object]:
    """The body of a token answer; all but ``access_token`` is assumed (UAA habit)."""
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": panel.now.token_lifetime_s - 1,
        "timestamp": int(time.time() * 1000),
    }


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)  # never reaches the caller: the connection is gone


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "application/json"})
    await response.prepare(request)
    await response.write(b'{"keys":[')
    for _ in range(HUGE_CHUNKS):
        await response.write(HUGE_CHUNK)
    await response.write_eof()
    return response
