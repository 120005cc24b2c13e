"""What handlers read a platform's APIs with: ``attempt.platform`` of a notification.

A client speaks for the tenant of its notification and for no other: the token of that user tenant comes from the
Token Manager, is shared by all attempts of the process, and never reaches the handler. It only reads (GET), and makes
no connection before it is asked. What it promises handlers is written in ``routes.PlatformClient``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subscriber.model import Params, Tenant
from subscriber.platforms.mindsphere_api import read_state, state_request
from subscriber.routes import NO_CLIENT, PlatformClient
from subscriber.token_manager import Gateway


class GatewayClient:
    """Reads through a platform's gateway in the name of one user tenant. See ``routes.PlatformClient``."""

    def __init__(self, gateway: Gateway, user_tenant: str) -> None:
        self._gateway = gateway
        self._user_tenant = user_tenant

    def get(self, path: str, params: Params | None = None) -> Any:
        answer = self._gateway.call(self._user_tenant, state_request(path, params or {}))
        return read_state(answer.status, answer.body, path)


class Clients:
    """Makes the client of a tenant. ``gateways``: one per platform that is on, by the platform's name."""

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = dict(gateways)

    def __call__(self, tenant: Tenant) -> PlatformClient:
        gateway = self._gateways.get(tenant.platform)
        return NO_CLIENT if gateway is None else GatewayClient(gateway, tenant.name)

    def close(self) -> None:
        """Let go of all connections."""
        for gateway in self._gateways.values():
            gateway.close()
