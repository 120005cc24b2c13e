"""What one operator may see and do. Pages and actions reach the store through here and nowhere else.

The host's operators see every tenant, others their own. Whatever belongs to somebody else does not exist: unknown
and foreign answer alike, and counts are made of what is in sight. Reports are narrowed by the store itself
(``Reports.within``); the registry's small tables are filtered here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from subscriber.access import Operator
from subscriber.errors import Forbidden, NotFound
from subscriber.model import Tenant
from subscriber.people import reports_for
from subscriber.store import ChannelRow, Gap, Pause, Reports, Store, SubscriptionRow, TenantRow, TenantState

logger = logging.getLogger(__name__)

GAPS_SEEN = 1000  # the newest; there is one whenever the service was away for days, so that is decades


class Sight:
    """One request's. ``reports`` is the store's, with only those rows in it that this operator may see."""

    def __init__(self, operator: Operator, store: Store) -> None:
        self.operator = operator
        self.reports: Reports = reports_for(store.reports, operator)
        self._store = store

    @property
    def everybody(self) -> bool:
        """Is this an operator of the host?"""
        return self.operator.tenants is None

    def require(self, tenant: Tenant) -> Tenant:
        """The tenant, if there is such a one in sight. Raises ``NotFound``."""
        own = self.operator.tenants
        known = tenant in own if own is not None else bool(self._store.registry.tenant_state(tenant))
        if not known:
            raise NotFound(f"there is no tenant {tenant} here")
        return tenant

    def require_everybody(self) -> None:
        """Raises ``Forbidden`` for who looks after some tenants only."""
        if not self.everybody:
            raise Forbidden("this concerns every tenant: the host's operators do it", reason="host_only")

    def scope(self, tenant: Tenant | None) -> Sequence[Tenant | None]:
        """Whom an action is about: the tenant asked for, or everybody in sight (None: everybody there is)."""
        if tenant is not None:
            return [self.require(tenant)]
        return [None] if self.operator.tenants is None else self.operator.tenants

    def tenants(self) -> list[TenantRow]:
        return [row for row in self._store.registry.tenants() if self.operator.may_see(row.tenant)]

    def state_of(self, tenant: Tenant) -> str:
        """One of ``TenantState``; a tenant in sight that nothing has come for yet counts as active."""
        return self._store.registry.tenant_state(self.require(tenant)) or TenantState.ACTIVE

    def channels(self) -> list[ChannelRow]:
        return [row for row in self._store.registry.channels() if self.operator.may_see(row.tenant)]

    def gaps(self) -> list[Gap]:
        """Those of the tenants in sight, and those of a platform as a whole that has one of them."""
        own = self.operator.tenants
        gaps = self._store.registry.gaps(GAPS_SEEN)
        platforms = None if own is None else {tenant.platform for tenant in own}
        return [
            gap
            for gap in gaps
            if (self.operator.may_see(gap.tenant) if gap.tenant else platforms is None or gap.platform in platforms)
        ]

    def pauses(self) -> list[Pause]:
        """All that stops handling of something in sight; a platform's or a topic's stops everybody's."""
        pauses = self._store.registry.pauses()
        return [one for one in pauses if one.kind != "tenant" or self.operator.may_see(Tenant.parse(one.name))]

    def subscriptions(self, tenants: Sequence[Tenant]) -> list[SubscriptionRow]:
        """Of these tenants, as far as they are in sight."""
        by_platform: dict[str, list[Tenant]] = {}
        for tenant in filter(self.operator.may_see, tenants):
            by_platform.setdefault(tenant.platform, []).append(tenant)
        return [row for some in by_platform.values() for row in self._store.registry.subscriptions_of(some)]

    def astray(self, limit: int) -> list[SubscriptionRow]:
        """Subscriptions in sight that are not as they should be."""
        own = self.operator.tenants
        if own is None:
            return self._store.registry.astray(limit)
        return [row for row in self.subscriptions(own) if row.state != "active"][:limit]

    def note(self, action: str, detail: str) -> None:
        """Leave a line in the audit and in the log: this operator did that."""
        self._store.registry.audit(self.operator.name, action, detail)
        logger.info("an operator acted", extra={"action": action, "actor": self.operator.name})
