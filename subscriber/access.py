"""Who may deliver, and for whom. Pure rules over verified claims; no names of tenants or callers are built in.

Follows the contract's section on tokens: a delivery comes from a program, neither from a person nor from ourselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subscriber.errors import Forbidden
from subscriber.model import Claims


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
