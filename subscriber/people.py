"""Who reads and who operates: the bearer token of a request in, a ``Reader`` or an ``Operator`` out.

Nobody is let in by an address, a cookie or a header of a proxy, and there is no session here: each request brings
its token, which the platform's gateway adds for a person who has signed in. Reading goes on through ``reports_for``,
so that the store itself keeps other tenants' rows away.
"""

from __future__ import annotations

from subscriber.access import Operator, Reader, ReadingRules
from subscriber.model import MINDSPHERE, Claims, Tenant
from subscriber.store import Registry, Reports, TenantState
from subscriber.tokens import Verifier, unverified_tenant


class People:
    """Safe for many threads; after a fork a child makes its own."""

    def __init__(self, verifier: Verifier, rules: ReadingRules, registry: Registry) -> None:
        self._verifier = verifier
        self._rules = rules
        self._registry = registry

    @property
    def rules(self) -> ReadingRules:
        return self._rules

    def reader(self, authorization: str | None) -> Reader:
        """Raises ``InvalidToken``, ``Forbidden``, ``KeysUnavailable``, or what the store raises."""
        return self._rules.reader(self._claims(authorization))

    def operator(self, authorization: str | None) -> Operator:
        """Raises as :meth:`reader`."""
        return self._rules.operator(self._claims(authorization))

    def _claims(self, authorization: str | None) -> Claims:
        zone = self._rules.own_zone(unverified_tenant(authorization))
        zones = self._rules.zones
        if zone and self._registry.tenant_state(Tenant(MINDSPHERE, zone)) == TenantState.ACTIVE:
            zones |= {zone}
        return self._verifier.verify(authorization, zones)


def reports_for(reports: Reports, who: Reader | Operator) -> Reports:
    """The reports as this person or program may see them."""
    return reports if who.tenants is None else reports.within(who.tenants)
