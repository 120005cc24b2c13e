"""What handlers read a platform's APIs with: ``attempt.platform`` of a notification.

A client speaks for the tenant of its notification and for no other: the token of that user tenant comes from the
Token Manager, is shared by all attempts of the process, and never reaches the handler. It only reads (GET), makes no
connection before it is asked, and reads nothing of a tenant that no longer has the application, though a token of
before may still be good. What it promises handlers is written in ``routes.PlatformClient``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subscriber.errors import HandlerError
from subscriber.model import Params, Tenant
from subscriber.platforms.mindsphere_api import read_state, state_request
from subscriber.routes import NO_CLIENT, PlatformClient
from subscriber.store import Registry, TenantState
from subscriber.token_manager import Gateway

DEPARTED = (TenantState.LEAVING, TenantState.GONE)


class GatewayClient:
    """Reads through a platform's gateway in the name of one user tenant. See ``routes.PlatformClient``."""

    def __init__(self, gateway: Gateway, registry: Registry, tenant: Tenant) -> None:
        self._gateway = gateway
        self._registry = registry
        self._tenant = tenant

    def get(self, path: str, params: Params | None = None) -> Any:
        request = state_request(path, params or {})
        if self._registry.tenant_state(self._tenant) in DEPARTED:
            detail = f"attempt.platform.get: {self._tenant} no longer has the application, nothing of it is read"
            raise HandlerError(detail, reason="tenant_left")
        answer = self._gateway.call(self._tenant.name, request)
        return read_state(answer.status, answer.body, path)


class Clients:
    """Makes the client of a tenant. ``gateways``: one per platform that is on, by the platform's name."""

    def __init__(self, gateways: Mapping[str, Gateway], registry: Registry) -> None:
        self._gateways = dict(gateways)
        self._registry = registry

    def __call__(self, tenant: Tenant) -> PlatformClient:
        gateway = self._gateways.get(tenant.platform)
        return NO_CLIENT if gateway is None else GatewayClient(gateway, self._registry, tenant)

    def close(self) -> None:
        """Let go of all connections."""
        for gateway in self._gateways.values():
            gateway.close()
