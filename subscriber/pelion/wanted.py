"""Which WebSocket channels there shall be now: the configured ones of tenants that were not erased here.

It is also the book of those channels: what the worker's own connections learn about them is kept as registering does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from subscriber.channels.pelion import Application
from subscriber.pelion.plan import of_channel, tenant_of
from subscriber.pelion.standing import Standing
from subscriber.platforms.pelion.rules import WEBSOCKET
from subscriber.registration.plan import as_row
from subscriber.settings import PelionChannel
from subscriber.store import Registry, TenantState


class Wanted:
    """Call it for the applications. Raises store errors."""

    def __init__(self, channels: Iterable[PelionChannel], registry: Registry) -> None:
        self._applications = tuple(
            Application(name=channel.name, host=channel.host, api_key=channel.api_key)
            for channel in channels
            if channel.mode == WEBSOCKET
        )
        self._registry = registry

    @property
    def configured(self) -> bool:
        """Is there any, now or later?"""
        return bool(self._applications)

    def __call__(self) -> Sequence[Application]:
        return [one for one in self._applications if not self._erased(one)]

    def _erased(self, application: Application) -> bool:
        return self._registry.tenant_state(tenant_of(application.name)) == TenantState.GONE


class Book:
    """See ``channels.pelion.Book``."""

    def __init__(self, standing: Standing, registry: Registry) -> None:
        self._standing = standing
        self._registry = registry

    def before(self, name: str) -> datetime | None:
        return self._standing.before(tenant_of(name))

    def enrolled(self, name: str, created: bool, before: datetime | None, heard_until: datetime | None) -> None:
        tenant = tenant_of(name)
        if created:
            self._standing.made(tenant, before, heard_until)
        else:
            self._standing.stands(tenant)
        self._registry.put_subscription(as_row(of_channel(name, WEBSOCKET), "active"))
