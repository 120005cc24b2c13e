"""Who may deliver and for whom, who may read and what. Pure rules over verified claims; no names are built in.

Follows the contract's section on tokens. A delivery comes from a program, neither from a person nor from ourselves;
reading and operating is for both, each within what the token's tenant may see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from subscriber.errors import Forbidden
from subscriber.model import MINDSPHERE, Claims, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """What a genuine token needs in order to deliver. Comparisons are exact."""

    required_scopes: frozenset[str]  # all of them
    trusted_tenants: frozenset[str]  # a token of these may deliver for any tenant
    allowed_callers: frozenset[str]  # client ids; empty: any but our own
    own_client_id: str

    def admit(self, claims: Claims) -> None:
        """May this caller deliver at all? Raises ``Forbidden``: ``caller``, ``scope`` or ``tenant``.

        Our own token is refused even when listed: it can read whole tenants and travels to other servers, so what
        arrives with it was sent by someone who got hold of it.
        """
        if claims.person:
            raise Forbidden("a person's token does not deliver", reason="caller")
        if claims.client_id == self.own_client_id:
            raise Forbidden("our own token does not deliver", reason="caller")
        if self.allowed_callers and claims.client_id not in self.allowed_callers:
            raise Forbidden("this client may not deliver", reason="caller")
        missing = self.required_scopes - claims.scopes
        if missing:
            raise Forbidden(f"the token lacks {', '.join(sorted(missing))}", reason="scope")
        if not claims.tenant:
            raise Forbidden("the token names no tenant", reason="tenant")

    def for_tenants(self, claims: Claims, tenants: Sequence[str]) -> tuple[str, ...]:
        """The tenants, out of those a delivery lists, that the caller may write; each once, in the listed order.

        A trusted tenant's token writes for all of them, any other only for its own, which must be listed.
        Raises ``Forbidden`` (reason ``tenant``).
        """
        if claims.tenant in self.trusted_tenants:
            return tuple(dict.fromkeys(tenants))
        if claims.tenant and claims.tenant in tenants:
            return (claims.tenant,)
        raise Forbidden("the delivery is for other tenants than the token's", reason="tenant")


# A zone's name becomes a part of its key server's address: only what can name a tenant of the platform may.
ZONE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who asks for notifications, and whose there are to see."""

    name: str  # for logs: whom the token is of, and of which tenant
    tenants: tuple[Tenant, ...]
    expires_at: datetime  # the token's


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who looks after the service, and for whom."""

    name: str  # for logs and the audit
    tenants: tuple[Tenant, ...] | None  # None: all there are
    expires_at: datetime  # the token's

    def may_see(self, tenant: Tenant) -> bool:
        return self.tenants is None or tenant in self.tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRules:
    """What a genuine token needs in order to read or to operate. Comparisons are exact."""

    app: str  # its scopes are `{app}.read` and `{app}.operate`
    host_tenant: str  # whose operators look after everybody's
    zones: frozenset[str]  # these speak for every tenant
    own_zones: bool = False  # a tenant's own zone speaks too, for that tenant alone
    aliases: Mapping[Tenant, str] = field(default_factory=dict)  # tenants of other platforms → whose users see them

    def own_zone(self, tenant: str) -> str | None:
        """The zone that speaks for this tenant alone, if there may be one."""
        return tenant if self.own_zones and tenant not in self.zones and ZONE.fullmatch(tenant) else None

    def reader(self, claims: Claims) -> Reader:
        """Raises ``Forbidden``: ``scope`` or ``tenant``."""
        self._admit(claims, f"{self.app}.read")
        return Reader(name=_name(claims), tenants=self._own(claims), expires_at=claims.expires_at)

    def operator(self, claims: Claims) -> Operator:
        """Raises ``Forbidden``: ``scope`` or ``tenant``."""
        self._admit(claims, f"{self.app}.operate")
        everybody = claims.tenant == self.host_tenant
        tenants = None if everybody else self._own(claims)
        return Operator(name=_name(claims), tenants=tenants, expires_at=claims.expires_at)

    def _admit(self, claims: Claims, scope: str) -> None:
        if not claims.tenant:
            raise Forbidden("the token names no tenant", reason="tenant")
        if claims.zone not in self.zones and claims.zone != claims.tenant:
            raise Forbidden("the token's issuer does not speak for its tenant", reason="tenant")
        if scope not in claims.scopes:
            raise Forbidden(f"the token lacks {scope}", reason="scope")

    def _own(self, claims: Claims) -> tuple[Tenant, ...]:
        """The tenant itself, and those whose alias it is."""
        aliases = [tenant for tenant, name in self.aliases.items() if name == claims.tenant]
        return tuple(dict.fromkeys([Tenant(MINDSPHERE, claims.tenant), *aliases]))


def _name(claims: Claims) -> str:
    return f"{claims.user_name or claims.client_id or claims.subject} ({claims.tenant})"
