"""Forgetting and bringing back: prune, erase, replay. All in small steps, so that accepting goes on between them.

What is found outside the writer's turn is checked again inside it: a row may have been replayed meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

from subscriber.model import REPEAT_BYTES, Tenant, to_millis
from subscriber.store import Clock, DeadFilter, Pruned, Retention, TenantState
from subscriber.store.paging import MINUTES_KEPT, QUARTER, SUMMED_AFTER, SUMMED_AT_ONCE, died
from subscriber.store.sqlite.readers import Readers
from subscriber.store.sqlite.transaction import MINUTE_MILLIS, NOBODY, Transaction

# Rows of one step: a few milliseconds of the writer's turn.
STEP_ROWS = 500
# Dead rows that are looked up at once for a replay.
PAGE_ROWS = 10_000
MINUTES_AT_ONCE = 24 * 60
AUDIT_KEPT_MILLIS = 365 * 24 * 60 * MINUTE_MILLIS  # who did what is asked at the yearly audit

Step = Callable[[Transaction], int]
Run = Callable[[Step], int]  # has a step committed; returns what it returned, a number of rows

# The first copy of content that came again stays while a later one does: a redelivery collides with the first, and
# that is how the later ones are found (`admission`).
NO_ANCHOR = f"""
    NOT (identity = 'content' AND repeat = 0 AND EXISTS (
        SELECT 1 FROM inbox AS later WHERE later.tenant_id = inbox.tenant_id AND later.key > inbox.key
        AND later.key <= CAST(
            substr(inbox.key, 1, length(inbox.key) - {REPEAT_BYTES}) || x'{"ff" * REPEAT_BYTES}' AS BLOB)))
"""
BODIES = "state = 'done' AND body IS NOT NULL AND settled_at < :payload"
SPENT = f"state = 'done' AND body IS NULL AND settled_at < :horizon AND received_at < :horizon AND {NO_ANCHOR}"
BURIED = f"state = 'dead' AND settled_at < :dead AND received_at < :horizon AND {NO_ANCHOR}"

SUM_QUARTER = f"""
    WITH next (quarter) AS (SELECT coalesce(
        (SELECT max(quarter) + 1 FROM quarters), (SELECT min(minute) / {QUARTER} FROM minutes)))
    INSERT INTO quarters (quarter, event, count)
    SELECT quarter, event, sum(count) FROM next CROSS JOIN minutes
    ON minute >= quarter * {QUARTER} AND minute < (quarter + 1) * {QUARTER}
    WHERE (quarter + 1) * {QUARTER} <= :now GROUP BY quarter, event
    UNION ALL SELECT quarter, '', 0 FROM next WHERE (quarter + 1) * {QUARTER} <= :now
"""

# What succeeded before a row died is not done again; a row that was done is handled anew, all of it.
REPLAY = """
    UPDATE inbox SET state = 'pending', attempts = 0, not_before = ?, settled_at = NULL, reason = '', detail = '',
    sinks_done = CASE state WHEN 'done' THEN '' ELSE sinks_done END
"""


class Sweep:
    """One call of ``prune``."""

    def __init__(self, readers: Readers, run: Run, cutoffs: dict[str, int], limit: int) -> None:
        self._readers = readers
        self._run = run
        self._cutoffs = cutoffs
        self._limit = limit

    def __call__(self) -> Pruned:
        self._run(_drop_minutes)
        for _ in range(SUMMED_AT_ONCE):
            if not self._run(_sum_quarter):
                break
        spent = self._apply("DELETE FROM inbox", "seq", SPENT, self._limit)
        return Pruned(
            bodies=self._apply("UPDATE inbox SET body = NULL", "seq", BODIES, self._limit),
            rows=spent + self._apply("DELETE FROM inbox", "seq", BURIED, self._limit - spent),
            dead_letters=self._apply("DELETE FROM dead_letters", "id", "last_at < :dead", self._limit),
            tenants=self._run(partial(_drop_tombstones, self._cutoffs["tombstone"], self._limit)),
        )

    def _apply(self, statement: str, id: str, condition: str, limit: int) -> int:
        """Do it to at most ``limit`` rows that meet the condition. Returns to how many."""
        table = "inbox" if id == "seq" else "dead_letters"
        select = f"SELECT {id} FROM {table} WHERE {condition} LIMIT :limit"
        with self._readers.lend() as connection:
            found = connection.execute(select, {**self._cutoffs, "limit": limit}).fetchall()
        sql = f"{statement} WHERE {id} IN (SELECT value FROM json_each(:ids)) AND {condition}"
        return in_steps([id for (id,) in found], partial(_execute, sql, self._cutoffs), self._run)


def cutoffs(retention: Retention, clock: Clock) -> dict[str, int]:
    """The moments, in milliseconds since 1970, before which things may go; the conditions above name them."""
    now = clock()
    ages = {
        "payload": retention.payload,
        "horizon": retention.horizon,
        "dead": retention.dead,
        "tombstone": retention.tombstone,
    }
    return {name: to_millis(now - age) for name, age in ages.items()}


def in_steps(ids: Sequence[int], work: Callable[[str, Transaction], int], run: Run) -> int:
    """``work`` gets a JSON list of ids, a step's worth at a time. Returns the sum of what it returned."""
    chunks = (ids[start : start + STEP_ROWS] for start in range(0, len(ids), STEP_ROWS))
    return sum(run(partial(work, json.dumps(chunk))) for chunk in chunks)


def _execute(sql: str, known: dict[str, int], ids: str, transaction: Transaction) -> int:
    return transaction.execute(sql, {**known, "ids": ids}).rowcount


def _drop_minutes(transaction: Transaction) -> int:
    """A day of old minutes, and audit lines nobody will ask for: both are small."""
    transaction.execute("DELETE FROM audit WHERE at < ?", (transaction.now - AUDIT_KEPT_MILLIS,))
    transaction.execute(
        "DELETE FROM quarters WHERE quarter < ?", ((transaction.now // MINUTE_MILLIS - MINUTES_KEPT) // QUARTER,)
    )
    return transaction.execute(
        "DELETE FROM minutes WHERE minute < ? AND minute < (SELECT min(minute) FROM minutes) + ?",
        (transaction.now // MINUTE_MILLIS - MINUTES_KEPT, MINUTES_AT_ONCE),
    ).rowcount


def _sum_quarter(transaction: Transaction) -> int:
    """The first quarter of an hour that is over and not summed. How many rows that made: 0 if there was none."""
    return transaction.execute(SUM_QUARTER, {"now": transaction.now // MINUTE_MILLIS - SUMMED_AFTER}).rowcount


def _drop_tombstones(before: int, limit: int, transaction: Transaction) -> int:
    """An erasure that was cut off has rows left: that tombstone waits until it is run again."""
    found = transaction.execute(
        "SELECT id FROM tenants WHERE state = 'gone' AND since < ? "
        "AND NOT EXISTS (SELECT 1 FROM inbox WHERE tenant_id = tenants.id) "
        "AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE tenant_id = tenants.id) LIMIT ?",
        (before, limit),
    ).fetchall()
    for (tenant_id,) in found:
        _drop_belongings(tenant_id, transaction)
        transaction.execute("DELETE FROM tenants WHERE id = ?", (tenant_id,))
    # Of tenants nothing else is known of, the roster keeps what was heard for as long as it may come again.
    transaction.execute(
        "DELETE FROM roster WHERE coalesce(heard_at, 0) < ? "
        "AND NOT EXISTS (SELECT 1 FROM tenants WHERE (platform, name) = (roster.platform, roster.name))",
        (before,),
    )
    return len(found)


def mark_gone(tenant: Tenant, transaction: Transaction) -> int:
    """From now on nothing of this tenant is stored. Returns its id, ``NOBODY`` if it is unknown."""
    row = transaction.execute("SELECT id, state FROM tenants WHERE platform = ? AND name = ?", tenant).fetchone()
    if row is None:
        return NOBODY
    tenant_id, state = row
    if state != TenantState.GONE:
        transaction.execute(
            "UPDATE tenants SET state = ?, since = ? WHERE id = ?", (TenantState.GONE, transaction.now, tenant_id)
        )
    _drop_belongings(tenant_id, transaction)
    return int(tenant_id)


def drop_rows(tenant_id: int, run: Run) -> int:
    """Delete notifications and dead letters of a tenant. Returns how many."""
    dropped = 0
    for table, id in (("inbox", "seq"), ("dead_letters", "id")):
        some = f"DELETE FROM {table} WHERE {id} IN (SELECT {id} FROM {table} WHERE tenant_id = ? LIMIT ?)"
        while changed := run(partial(_drop_some, some, tenant_id)):
            dropped += changed
    return dropped


def _drop_some(sql: str, tenant_id: int, transaction: Transaction) -> int:
    return transaction.execute(sql, (tenant_id, STEP_ROWS)).rowcount


def _drop_belongings(tenant_id: int, transaction: Transaction) -> None:
    """All that is no row of a big table. Totals go on without the name, for they must never fall."""
    totals = transaction.execute("SELECT event, count FROM totals WHERE tenant_id = ?", (tenant_id,)).fetchall()
    transaction.add_totals([(NOBODY, event, count) for event, count in totals])
    for table in ("totals", "minutes", "subscriptions", "gaps", "channel_facts", "channels"):
        transaction.execute(f"DELETE FROM {table} WHERE tenant_id = ?", (tenant_id,))


def replay(tenant: Tenant, keys: Sequence[bytes], run: Run) -> int:
    """See ``Inbox.replay``."""
    chunks = (keys[start : start + STEP_ROWS] for start in range(0, len(keys), STEP_ROWS))
    return sum(run(partial(_replay_some, tenant, chunk)) for chunk in chunks)


def _replay_some(tenant: Tenant, keys: Sequence[bytes], transaction: Transaction) -> int:
    return transaction.execute(
        f"{REPLAY} WHERE tenant_id = (SELECT id FROM tenants WHERE platform = ? AND name = ?) "
        "AND key IN (SELECT unhex(value) FROM json_each(?)) AND state IN ('done', 'dead')",
        (transaction.now, *tenant, json.dumps([key.hex() for key in keys])),
    ).rowcount


def replay_dead(wanted: DeadFilter, readers: Readers, run: Run) -> int:
    """See ``Inbox.replay_dead``."""
    with readers.lend() as connection:
        tenants = connection.execute("SELECT id, platform, name FROM tenants ORDER BY id").fetchall()
    return sum(
        _revive_all(tenant_id, wanted, readers, run)
        for tenant_id, platform, name in tenants
        if wanted.tenant is None or wanted.tenant == (platform, name)
    )


def _revive_all(tenant_id: int, wanted: DeadFilter, readers: Readers, run: Run) -> int:
    moved, seq = 0, 0
    while seqs := _dead_after(tenant_id, seq, wanted, readers):
        moved += in_steps(seqs, _revive, run)
        seq = seqs[-1]
    return moved


def _dead_after(tenant_id: int, seq: int, wanted: DeadFilter, readers: Readers) -> list[int]:
    """The tenant's next dead rows behind a given one. A row that dies again meanwhile is not met twice."""
    known = {**died(wanted), "tenant_id": tenant_id, "seq": seq, "limit": PAGE_ROWS}
    with readers.lend() as connection:
        found = connection.execute(
            "SELECT seq FROM inbox INDEXED BY inbox_dead WHERE state = 'dead' AND tenant_id = :tenant_id "
            "AND seq > :seq AND (:reason IS NULL OR reason = :reason) "
            "AND settled_at >= :since AND settled_at < :until ORDER BY seq LIMIT :limit",
            known,
        ).fetchall()
    return [seq for (seq,) in found]


def _revive(seqs: str, transaction: Transaction) -> int:
    return transaction.execute(
        f"{REPLAY} WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'dead'", (transaction.now, seqs)
    ).rowcount
