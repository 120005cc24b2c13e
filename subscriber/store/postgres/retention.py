"""Forgetting what is old; see ``Inbox.prune``. Many short transactions, so that accepting goes on beside them.

What may go is looked up first, without a lock, and checked again when it goes: a row may have been replayed
meanwhile. A row that somebody else has in hand is passed over, for the next call finds it again: pruning waits for
nobody. Any number of processes may prune at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from subscriber.model import REPEAT_BYTES
from subscriber.store import Pruned, Retention
from subscriber.store.paging import MINUTES_KEPT, QUARTER, SUMMED_AFTER, SUMMED_AT_ONCE
from subscriber.store.postgres.counters import MINUTE_MILLIS
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.erasing import drop_belongings

Some = TypeVar("Some")

# Rows of one transaction: some milliseconds during which a redelivery of one of them would wait.
STEP_ROWS = 500
MINUTES_AT_ONCE = 24 * 60
AUDIT_KEPT_MILLIS = 365 * 24 * 60 * MINUTE_MILLIS  # who did what is asked at the yearly audit

# The first copy of content that came again stays while a later one does: a redelivery collides with the first, and
# that is how the later ones are found (`admission`).
NO_ANCHOR = f"""
    NOT (identity = 'content' AND repeat = 0 AND EXISTS (
        SELECT 1 FROM inbox AS later WHERE later.tenant_id = inbox.tenant_id AND later.key > inbox.key AND later.key
        <= substr(inbox.key, 1, length(inbox.key) - {REPEAT_BYTES}) || '\\x{"ff" * REPEAT_BYTES}'::bytea))
"""
BODIES = "state = 'done' AND body IS NOT NULL AND settled_at < %(payload)s"
SPENT = f"state = 'done' AND body IS NULL AND settled_at < %(horizon)s AND received_at < %(horizon)s AND {NO_ANCHOR}"
BURIED = f"state = 'dead' AND settled_at < %(dead)s AND received_at < %(horizon)s AND {NO_ANCHOR}"
LETTERS = "last_at < %(dead)s"


class Table(NamedTuple):
    """A table that is pruned, its key, and the column of its index by age."""

    name: str
    id: str
    age: str


INBOX = Table("inbox", "seq", "settled_at")
DEAD_LETTERS = Table("dead_letters", "id", "last_at")

# Those of the ids that still meet the condition and that nobody has in hand; looked up one by one, by their key.
FREE = """
    SELECT {table}.{id} FROM unnest(%(ids)s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {table}.{id} = wanted.id FOR UPDATE SKIP LOCKED) AS {table}
    WHERE {condition}
"""

DROP_AUDIT = "DELETE FROM audit WHERE at < %s"
DROP_QUARTERS = "DELETE FROM quarters WHERE quarter < %s"
# The first that is over by the minute `now` and not summed.
SUM_QUARTER = f"""
    WITH next (quarter) AS (SELECT coalesce(
        (SELECT max(quarter) + 1 FROM quarters), (SELECT min(minute) / {QUARTER} FROM minutes)))
    INSERT INTO quarters (quarter, event, count)
    SELECT quarter, event, sum(count) FROM next JOIN minutes
    ON minute >= quarter * {QUARTER} AND minute < (quarter + 1) * {QUARTER}
    WHERE (quarter + 1) * {QUARTER} <= %(now)s GROUP BY quarter, event
    UNION ALL SELECT quarter, '', 0 FROM next WHERE (quarter + 1) * {QUARTER} <= %(now)s
    ON CONFLICT DO NOTHING
"""
DROP_MINUTES = "DELETE FROM minutes WHERE minute < %s AND minute < (SELECT min(minute) FROM minutes) + %s"
# An erasure that was cut off has rows left: that tombstone waits until it is run again.
TOMBSTONES = """
    SELECT id FROM tenants WHERE state = 'gone' AND since < %s
    AND NOT EXISTS (SELECT 1 FROM inbox WHERE tenant_id = tenants.id)
    AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE tenant_id = tenants.id)
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
DROP_TENANT = "DELETE FROM tenants WHERE id = %s"
# Of tenants nothing else is known of, the roster keeps what was heard for as long as it may come again.
FORGET_HEARD = """
    DELETE FROM roster WHERE coalesce(heard_at, 0) < %s
    AND NOT EXISTS (SELECT 1 FROM tenants WHERE (platform, name) = (roster.platform, roster.name))
"""


def prune(database: Database, wanted: Retention, limit: int) -> Pruned:
    """See ``Inbox.prune``."""
    with database.service() as connection:
        now = database.now(connection)
        _drop_minutes(connection, now)
    _sum_quarters(database, now // MINUTE_MILLIS - SUMMED_AFTER)
    cutoffs = _cutoffs(wanted, now)
    sweep = Sweep(database, cutoffs)
    spent = sweep.apply("DELETE FROM inbox", SPENT, limit)
    return Pruned(
        bodies=sweep.apply("UPDATE inbox SET body = NULL", BODIES, limit),
        rows=spent + sweep.apply("DELETE FROM inbox", BURIED, limit - spent),
        dead_letters=sweep.apply("DELETE FROM dead_letters", LETTERS, limit, DEAD_LETTERS),
        tenants=_drop_tombstones(database, cutoffs["tombstone"], limit),
    )


class Sweep:
    """``cutoffs``: the moments, in milliseconds since 1970, before which things may go, by the conditions' names."""

    def __init__(self, database: Database, cutoffs: dict[str, int]) -> None:
        self._database = database
        self._cutoffs = cutoffs

    def apply(self, statement: str, condition: str, limit: int, table: Table = INBOX) -> int:
        """Do it to at most ``limit`` rows that meet the condition, oldest first. Returns to how many."""
        name, id, age = table
        found = f"SELECT {id} FROM {name} WHERE {condition} ORDER BY {age} LIMIT %(limit)s"
        with self._database.service() as connection:
            ids = [id for (id,) in connection.execute(found, {**self._cutoffs, "limit": limit}).fetchall()]
        sql = f"{statement} WHERE {id} = ANY (ARRAY ({FREE.format(table=name, id=id, condition=condition)}))"
        return sum(self._step(sql, some) for some in in_steps(ids))

    def _step(self, sql: str, ids: Sequence[int]) -> int:
        with self._database.service() as connection:
            return connection.execute(sql, {**self._cutoffs, "ids": list(ids)}).rowcount


def in_steps(all: Sequence[Some]) -> Iterator[Sequence[Some]]:
    """A transaction's worth at a time."""
    return (all[start : start + STEP_ROWS] for start in range(0, len(all), STEP_ROWS))


def _cutoffs(wanted: Retention, now: int) -> dict[str, int]:
    ages = {
        "payload": wanted.payload,
        "horizon": wanted.horizon,
        "dead": wanted.dead,
        "tombstone": wanted.tombstone,
    }
    return {name: now - int(age.total_seconds() * 1000) for name, age in ages.items()}


def _drop_minutes(connection: Connection, now: int) -> None:
    """A day of old minutes, and audit lines nobody will ask for: both are small."""
    connection.execute(DROP_AUDIT, (now - AUDIT_KEPT_MILLIS,))
    connection.execute(DROP_QUARTERS, ((now // MINUTE_MILLIS - MINUTES_KEPT) // QUARTER,))
    connection.execute(DROP_MINUTES, (now // MINUTE_MILLIS - MINUTES_KEPT, MINUTES_AT_ONCE))


def _sum_quarters(database: Database, minute: int) -> None:
    """Quarters that are over, each in a transaction of its own: whoever is second changes nothing."""
    for _ in range(SUMMED_AT_ONCE):
        with database.service() as connection:
            if not connection.execute(SUM_QUARTER, {"now": minute}).rowcount:
                return


def _drop_tombstones(database: Database, before: int, limit: int) -> int:
    with database.service() as connection:
        found = connection.execute(TOMBSTONES, (before, limit)).fetchall()
        for (tenant_id,) in found:
            drop_belongings(connection, tenant_id)
            connection.execute(DROP_TENANT, (tenant_id,))
        connection.execute(FORGET_HEARD, (before,))
    return len(found)
