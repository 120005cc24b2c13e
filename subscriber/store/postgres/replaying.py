"""Bringing rows back to pending; see ``Inbox.replay`` and ``Inbox.replay_dead``. In short transactions."""

from __future__ import annotations

from collections.abc import Sequence

from subscriber.model import Tenant
from subscriber.store import DeadFilter
from subscriber.store.paging import died
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.retention import in_steps

# Dead rows that are looked up at once.
PAGE_ROWS = 10_000

# What succeeded before a row died is not done again; a row that was done is handled anew, all of it.
REPLAY = """
    UPDATE inbox SET state = 'pending', attempts = 0, not_before = %(now)s, settled_at = NULL, reason = '',
    detail = '', sinks_done = CASE state WHEN 'done' THEN '' ELSE sinks_done END
"""
BY_KEY = f"""
    {REPLAY} WHERE tenant_id = (SELECT id FROM tenants WHERE platform = %(platform)s AND name = %(name)s)
    AND key = ANY(%(keys)s) AND state IN ('done', 'dead')
"""
BY_SEQ = f"{REPLAY} WHERE seq = ANY(%(seqs)s) AND state = 'dead'"
TENANTS = "SELECT id, platform, name FROM tenants ORDER BY id"
DEAD_AFTER = """
    SELECT seq FROM inbox WHERE state = 'dead' AND tenant_id = %(tenant_id)s AND seq > %(seq)s {with_reason}
    AND settled_at >= %(since)s AND settled_at < %(until)s ORDER BY seq LIMIT %(limit)s
"""


def replay(database: Database, tenant: Tenant, keys: Sequence[bytes]) -> int:
    """See ``Inbox.replay``."""
    return sum(_revive(database, BY_KEY, {**tenant._asdict(), "keys": list(some)}) for some in in_steps(sorted(keys)))


def replay_dead(database: Database, wanted: DeadFilter) -> int:
    """See ``Inbox.replay_dead``."""
    with database.service() as connection:
        tenants = connection.execute(TENANTS).fetchall()
    return sum(
        _revive_all(database, tenant_id, wanted)
        for tenant_id, platform, name in tenants
        if wanted.tenant is None or wanted.tenant == (platform, name)
    )


def _revive_all(database: Database, tenant_id: int, wanted: DeadFilter) -> int:
    moved, seq = 0, 0
    while seqs := _dead_after(database, tenant_id, seq, wanted):
        moved += sum(_revive(database, BY_SEQ, {"seqs": list(some)}) for some in in_steps(seqs))
        seq = seqs[-1]
    return moved


def _dead_after(database: Database, tenant_id: int, seq: int, wanted: DeadFilter) -> list[int]:
    """The tenant's next dead rows behind a given one. A row that dies again meanwhile is not met twice."""
    known = {**died(wanted), "tenant_id": tenant_id, "seq": seq, "limit": PAGE_ROWS}
    sql = DEAD_AFTER.format(with_reason="" if wanted.reason is None else "AND reason = %(reason)s")
    with database.service() as connection:
        return [seq for (seq,) in connection.execute(sql, known).fetchall()]


def _revive(database: Database, sql: str, known: dict[str, object]) -> int:
    with database.service() as connection:
        return connection.execute(sql, {**known, "now": database.now(connection)}).rowcount
