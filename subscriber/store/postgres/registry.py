"""The Registry on PostgreSQL; see ``store.Registry``. Small tables that change rarely.

Each call is one short transaction; those that run at the same time share the server's flush to the disk, so they
need no committer of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from subscriber.model import Tenant, from_millis, to_millis
from subscriber.store import (
    AuditRow,
    Census,
    ChannelRow,
    Counter,
    Fence,
    Gap,
    Passage,
    Pause,
    RosterRow,
    RosterUpdate,
    SubscriptionRow,
    TenantRow,
    cells,
    paging,
)
from subscriber.store.absence import absence
from subscriber.store.postgres import channels, locks, provisioned
from subscriber.store.postgres.counters import NOBODY, count
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.tenants import tenant_ids

Result = TypeVar("Result")

PUT_TENANT = """
    INSERT INTO tenants (platform, name, state, since) VALUES (%(platform)s, %(name)s, %(state)s, %(now)s)
    ON CONFLICT (platform, name) DO UPDATE SET state = excluded.state, since = excluded.since
    WHERE tenants.state <> excluded.state
"""
PAUSE = "INSERT INTO pauses (kind, name, since) VALUES (%(kind)s, %(name)s, %(now)s) ON CONFLICT DO NOTHING"
RESUME = "DELETE FROM pauses WHERE kind = %(kind)s AND name = %(name)s"
SEE_CREDENTIALS = "INSERT INTO credentials (client_id, since) VALUES (%(client_id)s, %(now)s) ON CONFLICT DO NOTHING"
RENEW_CREDENTIALS = """
    INSERT INTO credentials (client_id, since) VALUES (%(client_id)s, %(now)s)
    ON CONFLICT (client_id) DO UPDATE SET since = excluded.since
"""
AUDIT = "INSERT INTO audit (at, actor, action, detail) VALUES (%(now)s, %(actor)s, %(action)s, %(detail)s)"
AUDITED = f"SELECT {cells.AUDIT} FROM audit WHERE id < %s ORDER BY id DESC LIMIT %s"
GAPS = f"SELECT {cells.GAP} FROM gaps LEFT JOIN tenants ON tenants.id = tenant_id ORDER BY gaps.id DESC LIMIT %s"
ADD_GAP = f"INSERT INTO gaps ({cells.ADDED_GAP}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
# Of two heartbeats at once the second waits for the first, so that one gap is noticed once.
FIRST_BEAT = "INSERT INTO heartbeats (platform, at) VALUES (%s, %s) ON CONFLICT (platform) DO NOTHING"
LAST_BEAT = "SELECT at FROM heartbeats WHERE platform = %s FOR UPDATE"
BEAT = "UPDATE heartbeats SET at = greatest(at, %s) WHERE platform = %s"


class PostgresRegistry:
    """One per process; all threads share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tenants(self) -> list[TenantRow]:
        rows = self._read("SELECT platform, name, state, since FROM tenants ORDER BY platform, name")
        return [
            TenantRow(tenant=Tenant(platform, name), state=state, since=from_millis(since))
            for platform, name, state, since in rows
        ]

    def tenant_state(self, tenant: Tenant) -> str:
        rows = self._read(provisioned.STATE, *tenant)
        return str(rows[0][0]) if rows else ""

    def put_tenant(self, tenant: Tenant, state: str) -> bool:
        return self._write(PUT_TENANT, {**tenant._asdict(), "state": state})

    def subscriptions(self, platform: str) -> list[SubscriptionRow]:
        return [cells.subscription(row) for row in self._read(provisioned.SUBSCRIPTIONS, platform)]

    def subscriptions_of(self, tenants: Sequence[Tenant]) -> list[SubscriptionRow]:
        if not tenants:
            return []
        known = (tenants[0].platform, provisioned.names(tenants))
        return [cells.subscription(row) for row in self._read(provisioned.SUBSCRIPTIONS_OF, *known)]

    def subscribed(self, platform: str) -> list[Tenant]:
        return [Tenant(platform, name) for (name,) in self._read(provisioned.SUBSCRIBED, platform)]

    def put_subscription(self, row: SubscriptionRow, fence: Fence | None = None) -> bool:
        return provisioned.put_subscription(self._database, row, fence)

    def remove_subscription(self, row: SubscriptionRow, fence: Fence | None = None) -> bool:
        return self._run(partial(provisioned.remove_subscription, row, fence))

    def roster(self, platform: str) -> list[RosterRow]:
        return [cells.roster_row(row) for row in self._read_named(provisioned.ROSTER, platform)]

    def census(self, platform: str) -> Census:
        return cells.census(self._read(provisioned.CENSUS, platform))

    def update_roster(self, platform: str, update: RosterUpdate, fence: Fence) -> bool:
        return self._run(partial(provisioned.update_roster, platform, update, fence))

    def close_census(self, platform: str, read_at: datetime, waiting: int, fence: Fence) -> bool:
        return self._run(partial(provisioned.close_census, platform, read_at, waiting, fence))

    def close_reconciliation(self, platform: str, fence: Fence) -> bool:
        return self._run(partial(provisioned.close_reconciliation, platform, fence))

    def hear(self, tenant: Tenant, published_at: datetime, joined: bool) -> bool:
        return self._run(partial(provisioned.hear, tenant, to_millis(published_at), joined))

    def passages(self, platform: str, limit: int) -> list[Passage]:
        rows = self._read(provisioned.PASSAGES, platform, limit)
        return [Passage(Tenant(platform, name), bool(joined)) for name, joined in rows]

    def close_passage(self, passage: Passage) -> None:
        self._run(partial(provisioned.close_passage, passage))

    def departed(self, platform: str, age: timedelta) -> list[Tenant]:
        return self._run(partial(provisioned.departed, platform, age))

    def tally(self, platform: str) -> dict[str, int]:
        return dict(self._read_named(provisioned.TALLY, platform))

    def pauses(self) -> list[Pause]:
        rows = self._read("SELECT kind, name, since FROM pauses ORDER BY kind, name")
        return [Pause(kind=kind, name=name, since=from_millis(since)) for kind, name, since in rows]

    def pause(self, kind: str, name: str) -> bool:
        return self._write(PAUSE, {"kind": kind, "name": name})

    def resume(self, kind: str, name: str) -> bool:
        return self._write(RESUME, {"kind": kind, "name": name})

    def heartbeat(self, platform: str, retention: timedelta) -> Gap | None:
        return self._run(partial(_heartbeat, platform, retention))

    def credentials_since(self, client_id: str) -> datetime | None:
        rows = self._read("SELECT since FROM credentials WHERE client_id = %s", client_id)
        return from_millis(rows[0][0]) if rows else None

    def see_credentials(self, client_id: str) -> None:
        self._write(SEE_CREDENTIALS, {"client_id": client_id})

    def renew_credentials(self, client_id: str) -> None:
        self._write(RENEW_CREDENTIALS, {"client_id": client_id})

    def channel_fact(self, tenant: Tenant, channel: str, name: str) -> bytes:
        rows = self._read(channels.FACT, *tenant, channel, name)
        return bytes(rows[0][0]) if rows else b""

    def put_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._run(partial(channels.put_channels, rows))

    def remove_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._run(partial(channels.remove_channels, rows))

    def channels(self, platform: str | None = None) -> list[ChannelRow]:
        found = self._read(channels.ALL_CHANNELS) if platform is None else self._read(channels.CHANNELS_OF, platform)
        return [cells.channel(row) for row in found]

    def add_gap(self, gap: Gap) -> None:
        self._run(partial(_add_gap, gap))

    def gaps(self, limit: int = 100) -> list[Gap]:
        return [cells.gap(row) for row in self._read(GAPS, limit)]

    def acquire(self, name: str, holder: str, seconds: float) -> int | None:
        with self._database.service() as connection:
            return locks.acquire(self._database, name, holder, seconds, connection)

    def release(self, name: str, holder: str) -> None:
        with self._database.service() as connection:
            locks.release(name, holder, connection)

    def astray(self, limit: int) -> list[SubscriptionRow]:
        return [cells.subscription(row) for row in self._read(provisioned.ASTRAY, limit)]

    def count_refused(self, times: int) -> None:
        self._run(lambda connection, now: count(connection, now, {(NOBODY, Counter.REFUSED): times}))

    def audit(self, actor: str, action: str, detail: str) -> None:
        self._write(AUDIT, {"actor": actor, "action": action, "detail": cells.clipped(detail)})

    def audited(self, limit: int, before: int | None = None) -> list[AuditRow]:
        rows = self._read(AUDITED, paging.LARGEST_SEQ if before is None else before, paging.bounded(limit))
        return [cells.audit_row(row) for row in rows]

    def _read(self, sql: str, *known: object) -> Sequence[Any]:
        with self._database.service() as connection:
            return connection.execute(sql, known).fetchall()

    def _read_named(self, sql: str, platform: str) -> Sequence[Any]:
        with self._database.service() as connection:
            return connection.execute(sql, {"platform": platform}).fetchall()

    def _write(self, sql: str, known: dict[str, str]) -> bool:
        """One statement; ``%(now)s`` is the time. True if it changed a row."""
        return self._run(lambda connection, now: connection.execute(sql, {**known, "now": now}).rowcount > 0)

    def _run(self, work: Callable[[Connection, int], Result]) -> Result:
        """``work`` gets a connection in a transaction, and the time in milliseconds since 1970."""
        with self._database.service() as connection:
            return work(connection, self._database.now(connection))


def _heartbeat(platform: str, retention: timedelta, connection: Connection, now: int) -> Gap | None:
    if connection.execute(FIRST_BEAT, (platform, now)).rowcount:
        return None
    ((last,),) = connection.execute(LAST_BEAT, (platform,)).fetchall()
    connection.execute(BEAT, (now, platform))
    gap = absence(platform, from_millis(last), from_millis(now), retention)
    if gap is not None:
        _add_gap(gap, connection, now)
    return gap


def _add_gap(gap: Gap, connection: Connection, now: int) -> None:
    tenant_id = None if gap.tenant is None else tenant_ids(connection, now, [gap.tenant])[gap.tenant]
    if tenant_id != NOBODY:  # erased: nothing of it is kept
        connection.execute(ADD_GAP, cells.gap_columns(gap, tenant_id))
