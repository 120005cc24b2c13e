"""What handlers read a platform's APIs with: ``attempt.platform`` of a notification.

A client speaks for the tenant of its notification and for no other: tokens and passwords are the gateway's, shared by
all attempts of the process, and never reach the handler. It only reads (GET), makes no connection before it is asked,
and reads nothing of a tenant that no longer has the application, though a token of before may still be good. What it
promises handlers is written in ``routes.PlatformClient``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from subscriber.errors import HandlerError
from subscriber.model import Params, Tenant
from subscriber.routes import NO_CLIENT, PlatformClient
from subscriber.store import Registry, TenantState

DEPARTED = (TenantState.LEAVING, TenantState.GONE)


class Gateway(Protocol):
    """One platform's APIs, called in the name of a tenant. May be used from many threads."""

    def state(self, tenant: str, path: str, params: Params) -> Any:
        """See ``routes.PlatformClient.get``."""

    def close(self) -> None:
        """Let go of all connections."""


class GatewayClient:
    """Reads through a platform's gateway in the name of one tenant. See ``routes.PlatformClient``."""

    def __init__(self, gateway: Gateway, registry: Registry, tenant: Tenant) -> None:
        self._gateway = gateway
        self._registry = registry
        self._tenant = tenant

    def get(self, path: str, params: Params | None = None) -> Any:
        if self._registry.tenant_state(self._tenant) in DEPARTED:
            detail = f"attempt.platform.get: {self._tenant} no longer has the application, nothing of it is read"
            raise HandlerError(detail, reason="tenant_left")
        return self._gateway.state(self._tenant.name, path, params or {})


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
