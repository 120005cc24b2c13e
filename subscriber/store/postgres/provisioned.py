"""Statements about subscriptions and about who has the application; see ``store.Registry``.

Work that is done under a lock checks in its own transaction that the lock has not passed to another: whoever lost it
without noticing changes nothing. Rows of several tenants are written in the order of their names, so that nobody
waits for one who waits for him.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from subscriber.model import Tenant, to_millis
from subscriber.store import Fence, Passage, RosterUpdate, SubscriptionRow, TenantState
from subscriber.store.cells import SUBSCRIPTION, clipped
from subscriber.store.postgres.database import NOW, Database
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.locks import HELD, fence_values, held
from subscriber.store.postgres.tenants import tenant_ids

LEFT = "the tenant has left, so nothing can be asked in its name"  # detail of the subscriptions it leaves behind

SELECT_SUBSCRIPTION = (
    f"SELECT {SUBSCRIPTION} FROM subscriptions JOIN tenants ON tenants.id = tenant_id WHERE tenants.platform = %s"
)
IN_ORDER = "ORDER BY tenants.name, topic, subscriber, version"
SUBSCRIPTIONS = f"{SELECT_SUBSCRIPTION} {IN_ORDER}"
SUBSCRIPTIONS_OF = f"{SELECT_SUBSCRIPTION} AND tenants.name = ANY(%s) {IN_ORDER}"
ASTRAY = (
    f"SELECT {SUBSCRIPTION} FROM subscriptions JOIN tenants ON tenants.id = tenant_id WHERE subscriptions.state "
    "<> 'active' ORDER BY tenants.platform, tenants.name, topic, subscriber, version LIMIT %s"
)
SUBSCRIBED = (
    "SELECT name FROM tenants WHERE platform = %s "
    "AND EXISTS (SELECT 1 FROM subscriptions WHERE tenant_id = tenants.id) ORDER BY name"
)
ROSTER = (
    "SELECT platform, name, coalesce(state, ''), coalesce(member, 0), coalesce(missed, 0), heard_at "
    "FROM (SELECT * FROM roster WHERE platform = %(platform)s) AS roster "
    "FULL JOIN (SELECT * FROM tenants WHERE platform = %(platform)s) AS tenants USING (platform, name) ORDER BY name"
)
CENSUS = "SELECT read_at, waiting, reconciled_at FROM censuses WHERE platform = %s"
PASSAGES = (
    "SELECT name, state = 'active' FROM roster JOIN tenants USING (platform, name) WHERE platform = %s "
    "AND member = 1 AND CASE state WHEN 'active' THEN told <> 'joined' ELSE told = 'joined' END "
    "ORDER BY name LIMIT %s"
)
TALLY = (
    "SELECT 'subscriptions_' || subscriptions.state, count(*) FROM subscriptions "
    "JOIN tenants ON tenants.id = tenant_id WHERE platform = %(platform)s GROUP BY 1 "
    "UNION ALL SELECT 'tenants_' || state, count(*) FROM tenants WHERE platform = %(platform)s GROUP BY 1"
)
DEPARTED = (
    "SELECT name FROM tenants WHERE platform = %s AND (state = 'leaving' AND since <= %s "
    "OR state = 'gone' AND EXISTS (SELECT 1 FROM inbox WHERE tenant_id = tenants.id)) ORDER BY since, name"
)
# All of it in one statement, for a rollout to 10,000 tenants writes 40,000 of them: the fence, the living tenant.
PUT_SUBSCRIPTION = f"""
    WITH held AS ({{held}}),
    living AS (SELECT id FROM tenants WHERE platform = %(platform)s AND name = %(tenant)s AND state <> 'gone'
        FOR KEY SHARE)
    INSERT INTO subscriptions (tenant_id, topic, subscriber, version, uri, state, detail, updated_at)
    SELECT id, %(topic)s, %(subscriber)s, %(version)s, %(uri)s, %(state)s, %(detail)s, {NOW} FROM living, held
    ON CONFLICT (tenant_id, topic, subscriber, version) DO UPDATE
    SET uri = excluded.uri, state = excluded.state, detail = excluded.detail, updated_at = excluded.updated_at
"""
REMOVE_SUBSCRIPTION = (
    "DELETE FROM subscriptions WHERE topic = %s AND subscriber = %s AND version = %s "
    "AND tenant_id = (SELECT id FROM tenants WHERE platform = %s AND name = %s)"
)
ENLIST = """
    INSERT INTO roster (platform, name, member) SELECT %s, name, 1 FROM unnest(%s::text[]) AS name ORDER BY name
    ON CONFLICT (platform, name) DO UPDATE SET member = 1, missed = 0
"""
MISS = "UPDATE roster SET missed = missed + 1 WHERE platform = %s AND name = ANY(%s)"
SERVE = """
    INSERT INTO tenants (platform, name, state, since)
    SELECT %s, name, 'active', %s FROM unnest(%s::text[]) AS name ORDER BY name
    ON CONFLICT (platform, name) DO UPDATE SET state = 'active', since = excluded.since
    WHERE tenants.state = 'leaving'
"""
LEAVE = "UPDATE tenants SET state = 'leaving', since = %s WHERE platform = %s AND name = ANY(%s) AND state = 'active'"
LEAVE_BEHIND = (
    "UPDATE subscriptions SET state = 'stale', detail = %s WHERE tenant_id IN (SELECT id FROM tenants "
    "WHERE platform = %s AND name = ANY(%s) AND state = 'leaving')"
)
CLOSE_CENSUS = """
    INSERT INTO censuses (platform, read_at, waiting) VALUES (%s, %s, %s)
    ON CONFLICT (platform) DO UPDATE SET read_at = excluded.read_at, waiting = excluded.waiting
"""
CLOSE_RECONCILIATION = """
    INSERT INTO censuses (platform, reconciled_at) VALUES (%s, %s)
    ON CONFLICT (platform) DO UPDATE SET reconciled_at = excluded.reconciled_at
"""
# Nothing comes of a notice older than the newest. The very one that was heard last is news again: its handling may
# have broken off. From here to the commit nobody else hears of this tenant.
HEAR = """
    INSERT INTO roster (platform, name, member, heard_at) VALUES (%s, %s, 0, %s)
    ON CONFLICT (platform, name) DO UPDATE SET heard_at = excluded.heard_at
    WHERE coalesce(roster.heard_at, 0) <= excluded.heard_at
"""
LISTED = "SELECT 1 FROM roster WHERE platform = %s AND name = %s AND member = 1 AND missed = 0"
LIST_READ_AFTER = "SELECT 1 FROM censuses WHERE platform = %s AND read_at > %s"
STATE = "SELECT state FROM tenants WHERE platform = %s AND name = %s"
CLOSE_PASSAGE = "UPDATE roster SET told = %s WHERE platform = %s AND name = %s"


def names(tenants: Sequence[Tenant]) -> list[str]:
    return [tenant.name for tenant in tenants]


def put_subscription(database: Database, row: SubscriptionRow, fence: Fence | None) -> bool:
    with database.service() as connection:
        put = partial(_put_subscription, row, fence, connection, database.told_millis())
        if put():
            return True
        if not held(fence, connection):
            return False
        tenant_ids(connection, database.now(connection), [row.tenant])  # made if it is new
        put()  # if that fails too, the tenant is erased: nothing of it is kept
        return True


def _put_subscription(row: SubscriptionRow, fence: Fence | None, connection: Connection, now: int | None) -> bool:
    """False if the lock is lost, or there is no such tenant, or not any more."""
    values = {
        "platform": row.tenant.platform,
        "tenant": row.tenant.name,
        "topic": row.topic,
        "subscriber": row.subscriber,
        "version": row.version,
        "uri": row.uri,
        "state": row.state,
        "detail": clipped(row.detail),
        "now": now,
    }
    fenced = {} if fence is None else fence_values(fence)
    sql = PUT_SUBSCRIPTION.format(held="SELECT 1" if fence is None else HELD)
    return connection.execute(sql, values | fenced).rowcount > 0


def remove_subscription(row: SubscriptionRow, fence: Fence | None, connection: Connection, now: int) -> bool:
    if not held(fence, connection):
        return False
    connection.execute(REMOVE_SUBSCRIPTION, (row.topic, row.subscriber, row.version, *row.tenant))
    return True


def update_roster(platform: str, update: RosterUpdate, fence: Fence, connection: Connection, now: int) -> bool:
    if not held(fence, connection):
        return False
    _serve(platform, names(update.present), connection, now)
    connection.execute(MISS, (platform, names(update.missing)))
    connection.execute(LEAVE, (now, platform, names(update.leaving)))
    connection.execute(LEAVE_BEHIND, (LEFT, platform, names(update.leaving)))
    return True


def _serve(platform: str, names: list[str], connection: Connection, now: int) -> None:
    """Members and active from now on; who is gone stays gone until the tombstone is."""
    connection.execute(ENLIST, (platform, names))
    connection.execute(SERVE, (platform, now, names))


def close_census(
    platform: str, read_at: datetime, waiting: int, fence: Fence, connection: Connection, now: int
) -> bool:
    if not held(fence, connection):
        return False
    connection.execute(CLOSE_CENSUS, (platform, to_millis(read_at), waiting))
    return True


def close_reconciliation(platform: str, fence: Fence, connection: Connection, now: int) -> bool:
    if not held(fence, connection):
        return False
    connection.execute(CLOSE_RECONCILIATION, (platform, now))
    return True


def hear(tenant: Tenant, published_at: int, joined: bool, connection: Connection, now: int) -> bool:
    news = connection.execute(HEAR, (*tenant, published_at)).rowcount > 0
    if not news or not joined or _known_better(tenant, published_at, connection):
        return False
    _serve(tenant.platform, [tenant.name], connection, now)
    return connection.execute(STATE, tenant).fetchone() == (TenantState.ACTIVE,)


def _known_better(tenant: Tenant, published_at: int, connection: Connection) -> bool:
    """Was a complete list without the tenant read after the notice was published?"""
    if connection.execute(LISTED, tenant).fetchone() is not None:
        return False
    return connection.execute(LIST_READ_AFTER, (tenant.platform, published_at)).fetchone() is not None


def close_passage(passage: Passage, connection: Connection, now: int) -> None:
    connection.execute(CLOSE_PASSAGE, ("joined" if passage.joined else "left", *passage.tenant))


def departed(platform: str, age: timedelta, connection: Connection, now: int) -> list[Tenant]:
    rows = connection.execute(DEPARTED, (platform, now - age // timedelta(milliseconds=1)))
    return [Tenant(platform, name) for (name,) in rows.fetchall()]
