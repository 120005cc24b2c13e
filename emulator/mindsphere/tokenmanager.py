"""Token Manager: application credentials in, tokens out; and the list of user tenants.

Follows the Token Management Service's samples and the catalogue entry of its three operations: one token
(JSON body or query, never mixed), several tokens (at most two), user tenants in pages (docs/fidelity.md, C1, C2,
C13). Which error a wrong request gets is assumed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiohttp import web

from emulator.faults import Faults
from emulator.knobs import Panel
from emulator.mindsphere.access import USER_TENANTS_SCOPE, Access, basic_credentials
from emulator.mindsphere.errors import Handler, PlatformError, guarded, parse_object, read_body, wrong_verb
from emulator.mindsphere.piam import token_answer
from emulator.mindsphere.registry import Application, Registry

LOG = logging.getLogger("emulator")
BODY_LIMIT = 65_536
TENANTS_PER_CALL = 2  # documented for several tokens in one call
DEFAULT_PAGE_SIZE = 100
THROTTLED_FOR_S = 2  # assumed
SINGLE = ("appName", "appVersion", "hostTenant", "userTenant")


class TokenManager:
    """``…/api/technicaltokenmanager/v3``."""

    def __init__(self, registry: Registry, access: Access, faults: Faults, panel: Panel) -> None:
        self._registry = registry
        self._access = access
        self._faults = faults
        self._panel = panel

    def routes(self) -> list[web.RouteDef]:
        calls: list[tuple[str, str, Handler]] = [
            ("POST", "oauth/token", self.one_token),
            ("POST", "oauthTokens", self.several_tokens),
            ("GET", "userTenants", self.user_tenants),
        ]
        return [
            web.route(method, f"{base}/api/technicaltokenmanager/v3/{path}", guarded(handler))
            for base in ("", "/gateway")
            for known, path, answer in calls
            for method, handler in ((known, answer), ("*", wrong_verb))
        ]

    async def one_token(self, request: web.Request) -> web.StreamResponse:
        self._maybe_fail(token_call=True)
        application = self._client(request)
        members = _single_members(await read_body(request, BODY_LIMIT), request.query)
        name, version, host, tenant = (_word(members, name) for name in SINGLE)
        self._check(application, name, version, host, [tenant])
        token = self._access.application_token(application, tenant)
        return web.json_response(token_answer(token, self._panel))

    async def several_tokens(self, request: web.Request) -> web.StreamResponse:
        self._maybe_fail(token_call=True)
        application = self._client(request)
        members = parse_object(await read_body(request, BODY_LIMIT))
        tenants = members.get("userTenantIds")
        if not isinstance(tenants, list) or not all(isinstance(tenant, str) for tenant in tenants):
            raise PlatformError("invalidRequestBodyProperty", "userTenantIds must be a list of tenants")
        if not 1 <= len(tenants) <= TENANTS_PER_CALL:
            raise PlatformError("invalidRequestBodyProperty", "userTenantIds takes one or two tenants")
        name, version, host = (_word(members, name) for name in ("appName", "appVersion", "hostTenantId"))
        self._check(application, name, version, host, tenants)
        return web.json_response(
            {
                "tokens": [
                    {
                        "userTenant": tenant,
                        "access_token": self._access.application_token(application, tenant),
                    }
                    for tenant in tenants
                ]
            }
        )

    async def user_tenants(self, request: web.Request) -> web.StreamResponse:
        self._maybe_fail(token_call=False)
        caller = self._access.caller(request)
        application = self._registry.application(caller.client_id)
        if application is None or caller.tenant != application.host or USER_TENANTS_SCOPE not in caller.scopes:
            raise PlatformError("forbidden", "this needs the host tenant's token with km.usr")
        tenants = self._registry.user_tenants(application)
        if self._panel.now.user_tenants_host:
            tenants = sorted({*tenants, application.host})
        size = _number(request.query, "size", DEFAULT_PAGE_SIZE, 1, self._panel.now.user_tenants_max_size)
        page = _number(request.query, "page", 0, 0, 1_000_000)
        return web.json_response(
            {
                "userTenants": [{"id": tenant} for tenant in tenants[page * size : (page + 1) * size]],
                "page": {
                    "size": size,
                    "totalElements": len(tenants),
                    "totalPages": -(-len(tenants) // size),
                    "number": page,
                },
            }
        )

    def _maybe_fail(self, *, token_call: bool) -> None:
        fail_if_struck(self._faults)
        if token_call and self._faults.strikes("token-throttle"):
            raise PlatformError("tooManyRequests", "too many token requests", retry_after_s=THROTTLED_FOR_S)

    def _client(self, request: web.Request) -> Application:
        """Whose application credentials these are: X-SPACE-AUTH-KEY, else Authorization."""
        bearer_too = ("basic", "bearer") if self._panel.now.ttm_accept_bearer_key else ("basic",)
        header = request.headers.get("X-SPACE-AUTH-KEY")
        if header is not None:
            credentials = basic_credentials(header, bearer_too)
            if header[:6].lower() == "bearer":
                LOG.warning("action=bearer_key_accepted detail=other pages of the documents ask for Basic")
        else:
            credentials = basic_credentials(request.headers.get("Authorization", ""), ("basic",))
        holder = self._registry.authenticate(*credentials)
        if not isinstance(holder, Application):
            raise PlatformError("unauthorized", "bad credentials")
        return holder

    def _check(self, application: Application, name: str, version: str, host: str, tenants: Iterable[str]) -> None:
        if (name, version, host) != (application.name, application.version, application.host):
            raise PlatformError("forbidden", "these credentials belong to another application or version")
        for tenant in tenants:
            if not self._registry.may_act_for(application, tenant):
                raise PlatformError("forbidden", f"the application is not provisioned to {tenant}")


def fail_if_struck(faults: Faults) -> None:
    """The declared failures of the platform's APIs."""
    if faults.strikes("api-5xx"):
        raise PlatformError("internalServerError", "declared fault")
    if faults.strikes("api-429"):
        raise PlatformError("tooManyRequests", "declared fault", retry_after_s=THROTTLED_FOR_S)


def _single_members(body: bytes, query: Mapping[str, str]) -> Mapping[str, object]:
    """The four members of a single request, from the body or from the query but not from both."""
    in_query = [name for name in SINGLE if name in query]
    members = parse_object(body) if body.strip() else {}
    if in_query and any(name in members for name in SINGLE):
        raise PlatformError("invalidParameter", "give the values in the body or in the query, not in both")
    return query if in_query else members


def _word(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise PlatformError("invalidRequestBodyProperty", f"{name} is missing")
    return value


def _number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise PlatformError("invalidParameter", f"{name} must be a number from {low} to {high}")
    return int(text)
