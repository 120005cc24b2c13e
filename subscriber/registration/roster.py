"""What a list of user tenants means for those we know: who came, who is missing, who leaves. Pure.

A list is the truth, yet one reading of it may be wrong: so nobody is let go before two complete lists in a row lack
them, and a list that lacks many at once is believed only by a person.

Follows the published pages of the Token Manager's list of user tenants; that one reading may be wrong is a caution of
ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from subscriber.model import Tenant
from subscriber.store import RosterRow, TenantState

LISTS_WITHOUT = 2  # complete lists in a row
SHRINK_SHARE = 0.2  # of those we serve: more than that at once looks like a fault of the list, not like business


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one list says."""

    served: Sequence[Tenant]  # from now on: the host first, then by name
    present: Sequence[Tenant]  # user tenants who came, came back or were missed before: their rows change
    missing: Sequence[Tenant]  # members that a complete list lacks
    leaving: Sequence[Tenant]  # those of them that are let go
    waiting: Sequence[Tenant]  # those that nobody lets go before a person agrees that the list may shrink so much
    erased: Sequence[Tenant]  # provisioned, but erased here: not served until the tombstone is gone
    departed: frozenset[Tenant]  # leaving or gone: nothing is asked in their name any more


def judge(
    rows: Iterable[RosterRow],
    listed: Sequence[Tenant],
    complete: bool,
    host: Tenant | None,
    *,
    confirmed: bool = False,
) -> Verdict:
    """Hold a list against the roster. ``host`` is served whether it is listed or not; None: there is no such tenant.

    ``complete``: whoever is not ``listed`` is missing. ``confirmed``: a person agrees to whatever is missing.
    """
    known = {row.tenant: row for row in rows}
    hosts = [] if host is None else [host]
    names = [tenant for tenant in listed if tenant != host]
    gone = {tenant for tenant, row in known.items() if row.state == TenantState.GONE}
    members = {tenant for tenant, row in known.items() if _served(row) and tenant != host}
    missing = sorted(members.difference(names)) if complete else []
    overdue = [tenant for tenant in missing if known[tenant].missed + 1 >= LISTS_WITHOUT]
    shrunk = len(missing) > SHRINK_SHARE * len(members) and not confirmed
    leaving = [] if shrunk else overdue
    users = sorted(members.union(names).difference(leaving))
    away = {tenant for tenant, row in known.items() if row.state == TenantState.LEAVING}.difference(names)
    return Verdict(
        served=[tenant for tenant in (*hosts, *users) if tenant not in gone],
        present=[tenant for tenant in names if tenant not in gone and _changes(known.get(tenant))],
        missing=missing,
        leaving=leaving,
        waiting=missing if shrunk else [],
        erased=sorted(gone.intersection((*hosts, *names))),
        departed=frozenset(gone | away).union(leaving),
    )


def _served(row: RosterRow) -> bool:
    return row.member and row.state == TenantState.ACTIVE


def _changes(row: RosterRow | None) -> bool:
    """Does being listed change anything of a row?"""
    return row is None or not _served(row) or row.missed > 0
