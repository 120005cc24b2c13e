"""Bearer tokens in, callers out; and every token the platform mints.

The claims of application tokens follow the published sample of the Token Management Service; those of the
broker's own token are assumed, except that it carries exactly the mapped scopes (docs/fidelity.md, C3 and C12).
"""

from __future__ import annotations

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Iterable

from aiohttp import web

from emulator.identity import BadToken, Claims, Tokens
from emulator.knobs import Panel
from emulator.mindsphere.errors import PlatformError
from emulator.mindsphere.registry import Application, ServiceAccount

USER_TENANTS_SCOPE = "km.usr"
DELIVERY_TOKENS_KEPT = 20_000  # one per tenant in a large rehearsal


def broker_scopes(panel: Panel) -> dict[str, str]:
    """Operation → scope, from ``EMU_MB_SCOPES``."""
    pairs = (pair.partition("=") for pair in panel.now.mb_scopes.split(","))
    return {operation.strip(): scope.strip() for operation, _, scope in pairs}


class Access:
    """What the platform's services ask about tokens."""

    def __init__(self, tokens: Tokens, panel: Panel) -> None:
        self._tokens = tokens
        self._panel = panel
        self._delivery_tokens: OrderedDict[tuple[str, ...], tuple[float, str]] = OrderedDict()

    def caller(self, request: web.Request) -> Claims:
        """Whoever holds the request's bearer token; 401 without a good one."""
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise PlatformError("unauthorized", "a bearer token is missing")
        try:
            return self._tokens.verify(token.strip())
        except BadToken as error:
            raise PlatformError("unauthorized", str(error)) from error

    def application_token(self, application: Application, tenant: str) -> str:
        """For an application acting in ``tenant``: broker scopes, the user list, and its own scopes."""
        scopes = [
            *dict.fromkeys(broker_scopes(self._panel).values()),
            USER_TENANTS_SCOPE,
            *application.scopes,
        ]
        knobs = self._panel.now
        claims = _client_claims(application.client_id, tenant, scopes)
        return self._tokens.mint(knobs.ttm_iss_zone, claims, knobs.token_lifetime_s)

    def service_token(self, account: ServiceAccount) -> str:
        """For classic service credentials: issued by the tenant's own zone, all broker scopes, wrong kind."""
        claims = _client_claims(account.client_id, account.tenant, broker_scopes(self._panel).values())
        return self._tokens.mint(account.tenant, claims, self._panel.now.token_lifetime_s)

    def person_token(
        self, application: Application, tenant: str, id: str, name: str, scopes: Iterable[str]
    ) -> tuple[str, int]:
        """For a person who has signed in: issued by the tenant's own zone. With it the seconds it lives."""
        claims = _client_claims(f"{application.name}-{tenant}", tenant, scopes)
        claims |= {"sub": id, "user_id": id, "user_name": name, "email": name, "grant_type": "authorization_code"}
        lifetime_s = self._panel.now.token_lifetime_s
        return self._tokens.mint(tenant, claims, lifetime_s), lifetime_s

    def delivery_token(self, application: Application, tenant: str) -> str:
        """The broker's own, for a call to ``application`` about ``tenant``: exactly the mapped scopes."""
        knobs = self._panel.now
        ten = {"context": tenant, "host": application.host, "core": "core"}[knobs.broker_ten]
        kid = self._tokens.signing_kid(knobs.broker_iss_zone)
        client = knobs.broker_client_id
        cache_key = (kid, client, ten, application.name, *application.broker_scopes)
        until, token = self._delivery_tokens.get(cache_key, (0.0, ""))
        now = time.time()
        if until <= now:
            claims = _client_claims(client, ten, application.broker_scopes)
            token = self._tokens.mint(knobs.broker_iss_zone, claims, knobs.token_lifetime_s)
            until = now + knobs.token_lifetime_s / 2  # never hand out one about to expire
            self._delivery_tokens[cache_key] = (until, token)
            if len(self._delivery_tokens) > DELIVERY_TOKENS_KEPT:
                self._delivery_tokens.popitem(last=False)
        return token


def _client_claims(client_id: str, tenant: str, scopes: Iterable[str]) -> dict[str, object]:
    granted = list(scopes)
    audience = [client_id, *(scope.rpartition(".")[0] for scope in granted)]
    return {
        "sub": client_id,
        "scope": granted,
        "client_id": client_id,
        "cid": client_id,
        "azp": client_id,
        "grant_type": "client_credentials",
        "aud": list(dict.fromkeys(audience)),
        "ten": tenant,
    }


def basic_credentials(header: str, schemes: tuple[str, ...]) -> tuple[str, str]:
    """Client id and secret of ``Basic base64(id:secret)``; 401 for anything else."""
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() not in schemes:
            raise ValueError("another scheme")
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error) as error:
        raise PlatformError("unauthorized", "client credentials are missing or malformed") from error
    return client_id, secret
