"""What work inside a write transaction is handed: statements, the time, tenants and counters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from subscriber.model import Tenant
from subscriber.store import Counter, TenantState
from subscriber.store.sqlite.driver import Connection

MINUTE_MILLIS = 60_000
# Stands for the id of an erased tenant: what comes for it, and the totals it left, are counted here.
NOBODY = 0

# Events whose totals are reported and must never fall, whatever is pruned.
TOTALLED = frozenset((Counter.DONE, Counter.DUPLICATE))
# Rows of one statement: its text grows with them, and each length is prepared once.
LARGEST_STATEMENT_ROWS = 64


def values(row: str, count: int) -> str:
    """``row`` is the text of one row, e.g. ``(?,?)``."""
    return ",".join([row] * count)


class Transaction:
    """One write transaction of the committer. ``now``: milliseconds since 1970, the same for all of its work."""

    __slots__ = ("_counted", "execute", "now")

    def __init__(self, connection: Connection, now: int) -> None:
        self.execute = connection.execute
        self.now = now
        self._counted: dict[tuple[int, str], int] = {}

    def count(self, tenant_id: int, event: str, times: int = 1) -> None:
        """Raise a counter of this minute. ``event`` is one of ``Counter``."""
        key = (tenant_id, event)
        self._counted[key] = self._counted.get(key, 0) + times

    def tenant_id(self, tenant: Tenant) -> int:
        """The id of a tenant, made if it is new; ``NOBODY`` if it was erased."""
        return self.tenant_ids((tenant,))[tenant]

    def tenant_ids(self, tenants: Iterable[Tenant]) -> dict[Tenant, int]:
        """The same for several. Read in this transaction: another process may have erased one a moment ago."""
        wanted = sorted(set(tenants))
        found: dict[Tenant, int] = {}
        for start in range(0, len(wanted), LARGEST_STATEMENT_ROWS):
            found |= self._known(wanted[start : start + LARGEST_STATEMENT_ROWS])
        for tenant in wanted:
            if tenant not in found:
                found[tenant] = self._new_tenant(tenant)
        return found

    def _known(self, tenants: Sequence[Tenant]) -> dict[Tenant, int]:
        rows = self.execute(
            "SELECT platform, name, CASE state WHEN 'gone' THEN 0 ELSE id END FROM tenants "
            f"WHERE (platform, name) IN (VALUES {values('(?,?)', len(tenants))})",
            tuple(chain.from_iterable(tenants)),
        )
        return {Tenant(platform, name): id for platform, name, id in rows.fetchall()}

    def _new_tenant(self, tenant: Tenant) -> int:
        cursor = self.execute(
            "INSERT INTO tenants (platform, name, state, since) VALUES (?,?,?,?)",
            (*tenant, TenantState.ACTIVE, self.now),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def write_counters(self) -> None:
        """Write what was counted; the committer calls it last."""
        minute = self.now // MINUTE_MILLIS
        counted = sorted(self._counted.items())
        for start in range(0, len(counted), LARGEST_STATEMENT_ROWS):
            chunk = counted[start : start + LARGEST_STATEMENT_ROWS]
            self.execute(
                "INSERT INTO minutes (minute, tenant_id, event, writer, count) "
                f"VALUES {values('(?,?,?,0,?)', len(chunk))} "  # one writer at a time: all of them are number 0
                "ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [cell for (tenant_id, event), times in chunk for cell in (minute, tenant_id, event, times)],
            )
        self.add_totals([(*key, times) for key, times in counted if key[1] in TOTALLED])

    def add_totals(self, rows: Sequence[tuple[int, str, int]]) -> None:
        """Raise totals: (tenant id, event, times) each."""
        for start in range(0, len(rows), LARGEST_STATEMENT_ROWS):
            chunk = rows[start : start + LARGEST_STATEMENT_ROWS]
            self.execute(
                f"INSERT INTO totals (tenant_id, event, count) VALUES {values('(?,?,?)', len(chunk))} "
                "ON CONFLICT DO UPDATE SET count = count + excluded.count",
                tuple(chain.from_iterable(chunk)),
            )
