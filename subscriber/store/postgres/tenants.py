"""Tenants by their ids, and how accepting and erasing keep out of each other's way.

Who writes rows of a tenant holds its row FOR KEY SHARE until the commit, as a foreign key would. Who erases one first
takes it FOR UPDATE: that waits for those who write now, and those who come later find it gone. So not one row slips
in behind an erasure, whatever other processes believe to know.
"""

from __future__ import annotations

from collections.abc import Iterable

from subscriber.model import Tenant
from subscriber.store import TenantState
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.driver import Connection

KNOWN = """
    SELECT platform, name, id, state FROM tenants
    WHERE (platform, name) IN (SELECT * FROM unnest(%(platforms)s::text[], %(names)s::text[]))
    ORDER BY id FOR KEY SHARE
"""
MAKE = """
    INSERT INTO tenants (platform, name, state, since)
    SELECT platform, name, 'active', %(now)s
    FROM unnest(%(platforms)s::text[], %(names)s::text[]) AS wanted (platform, name) ORDER BY platform, name
    ON CONFLICT (platform, name) DO NOTHING
"""


def tenant_ids(connection: Connection, now: int, tenants: Iterable[Tenant]) -> dict[Tenant, int]:
    """The id of each tenant, made active if it is new; ``NOBODY`` if it was erased. They stay so until the commit."""
    wanted = sorted(set(tenants))
    found = _known(connection, wanted)
    missing = [tenant for tenant in wanted if tenant not in found]
    if missing:
        connection.execute(MAKE, {"now": now, **_names(missing)})
        found |= _known(connection, missing)
    return found


def _known(connection: Connection, tenants: list[Tenant]) -> dict[Tenant, int]:
    rows = connection.execute(KNOWN, _names(tenants)).fetchall()
    return {Tenant(platform, name): NOBODY if state == TenantState.GONE else id for platform, name, id, state in rows}


def _names(tenants: list[Tenant]) -> dict[str, list[str]]:
    return {"platforms": [tenant.platform for tenant in tenants], "names": [tenant.name for tenant in tenants]}
