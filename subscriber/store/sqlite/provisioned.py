"""Statements about subscriptions and about who has the application; see ``store.Registry``.

Work that is done under a lock checks in its own transaction that the lock has not passed to another: whoever lost it
without noticing changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from subscriber.model import Tenant, to_millis
from subscriber.store import Fence, Passage, RosterUpdate, SubscriptionRow, TenantState
from subscriber.store.cells import SUBSCRIPTION, clipped
from subscriber.store.sqlite.transaction import NOBODY, Transaction

LEFT = "the tenant has left, so nothing can be asked in its name"  # detail of the subscriptions it leaves behind

SELECT_SUBSCRIPTION = (
    f"SELECT {SUBSCRIPTION} FROM subscriptions JOIN tenants ON tenants.id = tenant_id WHERE tenants.platform = ?"
)
IN_ORDER = "ORDER BY tenants.name, topic, subscriber, version"
SUBSCRIPTIONS = f"{SELECT_SUBSCRIPTION} {IN_ORDER}"
SUBSCRIPTIONS_OF = f"{SELECT_SUBSCRIPTION} AND tenants.name IN (SELECT value FROM json_each(?)) {IN_ORDER}"
ASTRAY = (
    f"SELECT {SUBSCRIPTION} FROM subscriptions JOIN tenants ON tenants.id = tenant_id "
    "WHERE subscriptions.state <> 'active' "
    "ORDER BY tenants.platform, tenants.name, topic, subscriber, version LIMIT ?"
)
SUBSCRIBED = (
    "SELECT name FROM tenants WHERE platform = ? "
    "AND EXISTS (SELECT 1 FROM subscriptions WHERE tenant_id = tenants.id) ORDER BY name"
)
ROSTER = (
    "SELECT platform, name, coalesce(state, ''), coalesce(member, 0), coalesce(missed, 0), heard_at FROM roster "
    "FULL JOIN tenants USING (platform, name) WHERE platform = ? ORDER BY name"
)
CENSUS = "SELECT read_at, waiting, reconciled_at FROM censuses WHERE platform = ?"
PASSAGES = (
    "SELECT name, state = 'active' FROM roster JOIN tenants USING (platform, name) WHERE platform = ? AND member "
    "AND CASE state WHEN 'active' THEN told <> 'joined' ELSE told = 'joined' END ORDER BY name LIMIT ?"
)
TALLY = (
    "SELECT 'subscriptions_' || subscriptions.state, count(*) FROM subscriptions "
    "JOIN tenants ON tenants.id = tenant_id WHERE platform = ? GROUP BY 1 "
    "UNION ALL SELECT 'tenants_' || state, count(*) FROM tenants WHERE platform = ? GROUP BY 1"
)


def names(tenants: Sequence[Tenant]) -> str:
    """Their names as one value of a statement."""
    return json.dumps([tenant.name for tenant in tenants])


def held(fence: Fence | None, transaction: Transaction) -> bool:
    """Is the lock still the holder's, with the same number? Without a fence nobody asks."""
    if fence is None:
        return True
    row = transaction.execute("SELECT holder, fencing FROM locks WHERE name = ?", (fence.name,)).fetchone()
    return bool(row == (fence.holder, fence.number))


def put_subscription(row: SubscriptionRow, fence: Fence | None, transaction: Transaction) -> bool:
    if not held(fence, transaction):
        return False
    tenant_id = transaction.tenant_id(row.tenant)  # made if it is new
    if tenant_id == NOBODY:
        return True  # erased meanwhile: nothing of it is kept
    transaction.execute(
        "INSERT INTO subscriptions (tenant_id, topic, subscriber, version, uri, state, detail, updated_at) "
        "VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (tenant_id, topic, subscriber, version) DO UPDATE "
        "SET uri = excluded.uri, state = excluded.state, detail = excluded.detail, updated_at = excluded.updated_at",
        (
            tenant_id,
            row.topic,
            row.subscriber,
            row.version,
            row.uri,
            row.state,
            clipped(row.detail),
            transaction.now,
        ),
    )
    return True


def remove_subscription(row: SubscriptionRow, fence: Fence | None, transaction: Transaction) -> bool:
    if not held(fence, transaction):
        return False
    transaction.execute(
        "DELETE FROM subscriptions WHERE topic = ? AND subscriber = ? AND version = ? "
        "AND tenant_id = (SELECT id FROM tenants WHERE platform = ? AND name = ?)",
        (row.topic, row.subscriber, row.version, *row.tenant),
    )
    return True


def update_roster(platform: str, update: RosterUpdate, fence: Fence, transaction: Transaction) -> bool:
    if not held(fence, transaction):
        return False
    _serve(platform, names(update.present), transaction)
    transaction.execute(
        "UPDATE roster SET missed = missed + 1 WHERE platform = ? AND name IN (SELECT value FROM json_each(?))",
        (platform, names(update.missing)),
    )
    leaving = (platform, names(update.leaving))
    transaction.execute(
        "UPDATE tenants SET state = 'leaving', since = ? "
        "WHERE platform = ? AND name IN (SELECT value FROM json_each(?)) AND state = 'active'",
        (transaction.now, *leaving),
    )
    transaction.execute(
        "UPDATE subscriptions SET state = 'stale', detail = ? WHERE tenant_id IN (SELECT id FROM tenants "
        "WHERE platform = ? AND name IN (SELECT value FROM json_each(?)) AND state = 'leaving')",
        (LEFT, *leaving),
    )
    return True


def _serve(platform: str, names: str, transaction: Transaction) -> None:
    """Members and active from now on; who is gone stays gone until the tombstone is."""
    transaction.execute(
        "INSERT INTO roster (platform, name, member) SELECT ?, value, 1 FROM json_each(?) WHERE true "
        "ON CONFLICT DO UPDATE SET member = 1, missed = 0",
        (platform, names),
    )
    transaction.execute(
        "INSERT INTO tenants (platform, name, state, since) SELECT ?, value, 'active', ? FROM json_each(?) "
        "WHERE true ON CONFLICT (platform, name) DO UPDATE SET state = 'active', since = excluded.since "
        "WHERE state = 'leaving'",
        (platform, transaction.now, names),
    )


def close_census(platform: str, read_at: datetime, waiting: int, fence: Fence, transaction: Transaction) -> bool:
    if not held(fence, transaction):
        return False
    transaction.execute(
        "INSERT INTO censuses (platform, read_at, waiting) VALUES (?,?,?) ON CONFLICT DO UPDATE "
        "SET read_at = excluded.read_at, waiting = excluded.waiting",
        (platform, to_millis(read_at), waiting),
    )
    return True


def close_reconciliation(platform: str, fence: Fence, transaction: Transaction) -> bool:
    if not held(fence, transaction):
        return False
    transaction.execute(
        "INSERT INTO censuses (platform, reconciled_at) VALUES (?,?) "
        "ON CONFLICT DO UPDATE SET reconciled_at = excluded.reconciled_at",
        (platform, transaction.now),
    )
    return True


def hear(tenant: Tenant, published_at: int, joined: bool, transaction: Transaction) -> bool:
    if not _news(tenant, published_at, transaction):
        return False
    transaction.execute(
        "INSERT INTO roster (platform, name, member, heard_at) VALUES (?,?,0,?) "
        "ON CONFLICT DO UPDATE SET heard_at = excluded.heard_at",
        (*tenant, published_at),
    )
    if not joined or _known_better(tenant, published_at, transaction):
        return False
    _serve(tenant.platform, names([tenant]), transaction)
    return _state(tenant, transaction) == TenantState.ACTIVE


def _news(tenant: Tenant, published_at: int, transaction: Transaction) -> bool:
    """The very notice that was heard last is news again: its handling may have broken off."""
    row = transaction.execute("SELECT heard_at FROM roster WHERE platform = ? AND name = ?", tenant).fetchone()
    return row is None or row[0] is None or published_at >= int(row[0])


def _known_better(tenant: Tenant, published_at: int, transaction: Transaction) -> bool:
    """Was a complete list without the tenant read after the notice was published?"""
    listed = transaction.execute(
        "SELECT 1 FROM roster WHERE platform = ? AND name = ? AND member AND missed = 0", tenant
    ).fetchone()
    last = transaction.execute("SELECT read_at FROM censuses WHERE platform = ?", (tenant.platform,)).fetchone()
    return listed is None and last is not None and last[0] is not None and published_at < int(last[0])


def _state(tenant: Tenant, transaction: Transaction) -> str:
    row = transaction.execute("SELECT state FROM tenants WHERE platform = ? AND name = ?", tenant).fetchone()
    return "" if row is None else str(row[0])


def close_passage(passage: Passage, transaction: Transaction) -> None:
    transaction.execute(
        "UPDATE roster SET told = ? WHERE platform = ? AND name = ?",
        ("joined" if passage.joined else "left", *passage.tenant),
    )


def departed(platform: str, age: timedelta, transaction: Transaction) -> list[Tenant]:
    rows = transaction.execute(
        "SELECT name FROM tenants WHERE platform = ? AND (state = 'leaving' AND since <= ? "
        "OR state = 'gone' AND EXISTS (SELECT 1 FROM inbox WHERE tenant_id = tenants.id)) ORDER BY since, name",
        (platform, transaction.now - age // timedelta(milliseconds=1)),
    )
    return [Tenant(platform, name) for (name,) in rows.fetchall()]
