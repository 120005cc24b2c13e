"""Removing a tenant's data; see ``Inbox.erase``.

First the tenant becomes a tombstone, in one transaction that waits for those who write its rows now and that all
later ones see: nothing slips in behind. Then its rows go, a step at a time.

What "beyond recovery" means here: once a step has committed, no statement of anybody shows its rows again. The bytes
stay in the table's files until autovacuum gives their room to new rows, which it starts on within minutes of so many
deletions, and in the log and the backups of the server for as long as its operator keeps those. Rewriting the table
at once (VACUUM FULL) would stop accepting for everybody; whoever must, can do it in a quiet hour.
"""

from __future__ import annotations

from subscriber.model import Tenant
from subscriber.store import TenantState
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection

# Rows of one transaction: some milliseconds, and an erasure that is cut off loses no more than that.
STEP_ROWS = 500

LAST_WRITER_DONE = "SELECT id, state FROM tenants WHERE platform = %s AND name = %s FOR UPDATE"
MARK = "UPDATE tenants SET state = %s, since = %s WHERE id = %s"
DROP_SOME = """
    DELETE FROM {table} WHERE {id} = ANY (ARRAY (
        SELECT {id} FROM {table} WHERE tenant_id = %s ORDER BY {id} LIMIT %s FOR UPDATE))
"""
# Totals go on without the name, for they must never fall.
KEEP_TOTALS = """
    WITH left_behind AS (DELETE FROM totals WHERE tenant_id = %(tenant)s RETURNING event, count)
    INSERT INTO totals (tenant_id, event, writer, count)
    SELECT %(nobody)s, event, 0, sum(count) FROM left_behind GROUP BY event ORDER BY event
    ON CONFLICT (tenant_id, event, writer) DO UPDATE SET count = totals.count + excluded.count
"""
OTHERS = ("minutes", "subscriptions", "gaps", "channel_facts", "channels")
DROP_OTHERS = tuple(f"DELETE FROM {table} WHERE tenant_id = %s" for table in OTHERS)


def erase(database: Database, tenant: Tenant) -> int:
    """See ``Inbox.erase``."""
    with database.service() as connection:
        tenant_id = _mark_gone(connection, tenant, database)
    if tenant_id == NOBODY:
        return 0
    return _drop_all(database, "inbox", "seq", tenant_id) + _drop_all(database, "dead_letters", "id", tenant_id)


def drop_belongings(connection: Connection, tenant_id: int) -> None:
    """All that is no row of a big table."""
    connection.execute(KEEP_TOTALS, {"tenant": tenant_id, "nobody": NOBODY})
    for sql in DROP_OTHERS:
        connection.execute(sql, (tenant_id,))


def _mark_gone(connection: Connection, tenant: Tenant, database: Database) -> int:
    """From the commit on nothing of this tenant is stored. Returns its id, ``NOBODY`` if it is unknown."""
    row = connection.execute(LAST_WRITER_DONE, tenant).fetchone()
    if row is None:
        return NOBODY
    tenant_id, state = row
    if state != TenantState.GONE:
        connection.execute(MARK, (TenantState.GONE, database.now(connection), tenant_id))
    drop_belongings(connection, tenant_id)
    return int(tenant_id)


def _drop_all(database: Database, table: str, id: str, tenant_id: int) -> int:
    """Delete a tenant's rows of a big table. Returns how many there were."""
    dropped = 0
    while changed := _drop_some(database, DROP_SOME.format(table=table, id=id), tenant_id):
        dropped += changed
    return dropped


def _drop_some(database: Database, sql: str, tenant_id: int) -> int:
    with database.service() as connection:
        return connection.execute(sql, (tenant_id, STEP_ROWS)).rowcount
