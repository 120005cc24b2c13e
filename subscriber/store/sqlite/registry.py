"""The Registry on SQLite; see ``store.Registry``. Small tables that change rarely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast

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
from subscriber.store.sqlite import channels, provisioned
from subscriber.store.sqlite.admission import Work
from subscriber.store.sqlite.committer import Committer
from subscriber.store.sqlite.readers import Readers
from subscriber.store.sqlite.transaction import NOBODY, Transaction

Result = TypeVar("Result")


class SqliteRegistry:
    """Reads see what is committed; writes wait for the committer."""

    def __init__(self, committer: Committer[Work], readers: Readers) -> None:
        self._committer = committer
        self._readers = readers

    def tenants(self) -> list[TenantRow]:
        rows = self._read("SELECT platform, name, state, since FROM tenants ORDER BY platform, name")
        return [
            TenantRow(tenant=Tenant(platform, name), state=state, since=from_millis(since))
            for platform, name, state, since in rows
        ]

    def tenant_state(self, tenant: Tenant) -> str:
        rows = self._read("SELECT state FROM tenants WHERE platform = ? AND name = ?", *tenant)
        return str(rows[0][0]) if rows else ""

    def put_tenant(self, tenant: Tenant, state: str) -> bool:
        return self._write(
            "INSERT INTO tenants (platform, name, state, since) VALUES (:platform, :name, :state, :now) "
            "ON CONFLICT (platform, name) DO UPDATE SET state = excluded.state, since = excluded.since "
            "WHERE state <> excluded.state",
            {"platform": tenant.platform, "name": tenant.name, "state": state},
        )

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
        return self._run(partial(provisioned.put_subscription, row, fence))

    def remove_subscription(self, row: SubscriptionRow, fence: Fence | None = None) -> bool:
        return self._run(partial(provisioned.remove_subscription, row, fence))

    def roster(self, platform: str) -> list[RosterRow]:
        return [cells.roster_row(row) for row in self._read(provisioned.ROSTER, platform)]

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
        return dict(self._read(provisioned.TALLY, platform, platform))

    def pauses(self) -> list[Pause]:
        rows = self._read("SELECT kind, name, since FROM pauses ORDER BY kind, name")
        return [Pause(kind=kind, name=name, since=from_millis(since)) for kind, name, since in rows]

    def pause(self, kind: str, name: str) -> bool:
        return self._write(
            "INSERT INTO pauses (kind, name, since) VALUES (:kind, :name, :now) ON CONFLICT DO NOTHING",
            {"kind": kind, "name": name},
        )

    def resume(self, kind: str, name: str) -> bool:
        return self._write("DELETE FROM pauses WHERE kind = :kind AND name = :name", {"kind": kind, "name": name})

    def heartbeat(self, platform: str, retention: timedelta) -> Gap | None:
        return self._run(partial(_heartbeat, platform, retention))

    def credentials_since(self, client_id: str) -> datetime | None:
        rows = self._read("SELECT since FROM credentials WHERE client_id = ?", client_id)
        return from_millis(rows[0][0]) if rows else None

    def see_credentials(self, client_id: str) -> None:
        self._write(
            "INSERT INTO credentials (client_id, since) VALUES (:client_id, :now) ON CONFLICT DO NOTHING",
            {"client_id": client_id},
        )

    def renew_credentials(self, client_id: str) -> None:
        self._write(
            "INSERT INTO credentials (client_id, since) VALUES (:client_id, :now) "
            "ON CONFLICT DO UPDATE SET since = excluded.since",
            {"client_id": client_id},
        )

    def channel_fact(self, tenant: Tenant, channel: str, name: str) -> bytes:
        rows = self._read(channels.FACT, *tenant, channel, name)
        return bytes(rows[0][0]) if rows else b""

    def put_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._run(partial(channels.put_channels, rows))

    def remove_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._run(partial(channels.remove_channels, rows))

    def channels(self, platform: str | None = None) -> list[ChannelRow]:
        return [cells.channel(row) for row in self._read(channels.CHANNELS, platform)]

    def add_gap(self, gap: Gap) -> None:
        self._run(partial(_add_gap, gap))

    def gaps(self, limit: int = 100) -> list[Gap]:
        rows = self._read(
            f"SELECT {cells.GAP} FROM gaps LEFT JOIN tenants ON tenants.id = tenant_id ORDER BY gaps.id DESC LIMIT ?",
            limit,
        )
        return [cells.gap(row) for row in rows]

    def acquire(self, name: str, holder: str, seconds: float) -> int | None:
        return self._run(partial(_acquire, name, holder, seconds))

    def release(self, name: str, holder: str) -> None:
        # The row stays: its fencing number must never start again.
        self._write(
            "UPDATE locks SET until = 0 WHERE name = :name AND holder = :holder", {"name": name, "holder": holder}
        )

    def astray(self, limit: int) -> list[SubscriptionRow]:
        return [cells.subscription(row) for row in self._read(provisioned.ASTRAY, limit)]

    def count_refused(self, times: int) -> None:
        self._run(lambda transaction: transaction.count(NOBODY, Counter.REFUSED, times))

    def audit(self, actor: str, action: str, detail: str) -> None:
        self._write(
            "INSERT INTO audit (at, actor, action, detail) VALUES (:now, :actor, :action, :detail)",
            {"actor": actor, "action": action, "detail": cells.clipped(detail)},
        )

    def audited(self, limit: int, before: int | None = None) -> list[AuditRow]:
        rows = self._read(
            f"SELECT {cells.AUDIT} FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",
            paging.LARGEST_SEQ if before is None else before,
            paging.bounded(limit),
        )
        return [cells.audit_row(row) for row in rows]

    def _read(self, sql: str, *known: object) -> Sequence[Any]:
        with self._readers.lend() as connection:
            return connection.execute(sql, known).fetchall()

    def _write(self, sql: str, known: dict[str, str]) -> bool:
        """One statement; ``:now`` is the time. True if it changed a row."""
        return self._run(lambda transaction: transaction.execute(sql, {**known, "now": transaction.now}).rowcount > 0)

    def _run(self, work: Callable[[Transaction], Result]) -> Result:
        return cast(Result, self._committer.commit(work))


def _heartbeat(platform: str, retention: timedelta, transaction: Transaction) -> Gap | None:
    last = transaction.execute("SELECT at FROM heartbeats WHERE platform = ?", (platform,)).fetchone()
    transaction.execute(
        "INSERT INTO heartbeats (platform, at) VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
        (platform, transaction.now),
    )
    gap = None if last is None else absence(platform, from_millis(last[0]), from_millis(transaction.now), retention)
    if gap is not None:
        _add_gap(gap, transaction)
    return gap


def _add_gap(gap: Gap, transaction: Transaction) -> None:
    tenant_id = None if gap.tenant is None else transaction.tenant_id(gap.tenant)
    if tenant_id != NOBODY:  # erased: nothing of it is kept
        transaction.execute(
            f"INSERT INTO gaps ({cells.ADDED_GAP}) VALUES (?,?,?,?,?,?,?)", cells.gap_columns(gap, tenant_id)
        )


def _acquire(name: str, holder: str, seconds: float, transaction: Transaction) -> int | None:
    """Whoever holds the lock keeps its fencing number; whoever takes it, also over from itself, gets the next."""
    row = transaction.execute("SELECT holder, until, fencing FROM locks WHERE name = ?", (name,)).fetchone()
    last_holder, until, fencing = row or ("", 0, 0)
    held = until > transaction.now
    if held and last_holder != holder:
        return None
    fencing = int(fencing) + (not held)
    transaction.execute(
        "INSERT INTO locks (name, holder, until, fencing) VALUES (?,?,?,?) ON CONFLICT DO UPDATE "
        "SET holder = excluded.holder, until = excluded.until, fencing = excluded.fencing",
        (name, holder, transaction.now + int(seconds * 1000), fencing),
    )
    return fencing
