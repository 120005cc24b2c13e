"""Counting, inside the transaction of what is counted.

Every connection that writes has counter rows of its own, so that two commits never wait for the same row; readers sum
over ``writer``. Writers are numbered by their server process, which nobody else has meanwhile, cut to ``WRITERS``
numbers so that totals do not grow for ever: two connections with the same one wait for each other, no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from subscriber.store import Counter
from subscriber.store.postgres.driver import Connection

MINUTE_MILLIS = 60_000
# Stands for the id of an erased tenant: what comes for it, and the totals it left, are counted here.
NOBODY = 0
# Server processes are numbered one after another, so connections of a rush get numbers of their own.
WRITERS = 64
WRITER = f"mod(pg_backend_pid(), {WRITERS})"

# Events whose totals are reported and must never fall, whatever is pruned.
TOTALLED = frozenset((Counter.DONE, Counter.DUPLICATE))

# Rows in key order, minutes before totals: whoever waits for another never holds what that one waits for.
RAISE_MINUTES = f"""
    INSERT INTO minutes (minute, tenant_id, event, writer, count)
    SELECT %(minute)s, tenant_id, event, {WRITER}, times
    FROM unnest(%(tenants)s::bigint[], %(events)s::text[], %(times)s::bigint[]) AS counted (tenant_id, event, times)
    ORDER BY tenant_id, event
    ON CONFLICT (minute, tenant_id, event, writer) DO UPDATE SET count = minutes.count + excluded.count
"""
RAISE_TOTALS = f"""
    INSERT INTO totals (tenant_id, event, writer, count)
    SELECT tenant_id, event, {WRITER}, times
    FROM unnest(%(tenants)s::bigint[], %(events)s::text[], %(times)s::bigint[]) AS counted (tenant_id, event, times)
    ORDER BY tenant_id, event
    ON CONFLICT (tenant_id, event, writer) DO UPDATE SET count = totals.count + excluded.count
"""


def count(connection: Connection, now: int, counted: Mapping[tuple[int, str], int]) -> None:
    """Raise counters of the minute of ``now`` (milliseconds): (tenant id, ``Counter`` event) → how often."""
    rows = [(*key, times) for key, times in counted.items()]
    if rows:
        connection.execute(RAISE_MINUTES, {"minute": now // MINUTE_MILLIS, **_columns(rows)})
    add_totals(connection, [row for row in rows if row[1] in TOTALLED])


def add_totals(connection: Connection, rows: Sequence[tuple[int, str, int]]) -> None:
    """Raise totals: (tenant id, event, times) each, no pair twice."""
    if rows:
        connection.execute(RAISE_TOTALS, _columns(rows))


def _columns(rows: Sequence[tuple[int, str, int]]) -> dict[str, list[object]]:
    tenants, events, times = zip(*rows, strict=True)
    return {"tenants": list(tenants), "events": list(events), "times": list(times)}
