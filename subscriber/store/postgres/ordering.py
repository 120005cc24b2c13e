"""Rows that keep their order: whose turn is it?

A row is free when no unsettled row of its tenant and source, with a topic its order extends to, came before it, and
none that came later runs: a replay gives a row its old place back. Arrival is by (xid, seq), and a row is only leased
once no other can come before it any more (``horizon``). What there is before it, and of which topics, is asked of one
snapshot, so that nothing slips in between.

A row whose turn it is not would be met again on every turn. Where such rows pile up they are *parked*: their time
moves by PARKED, out of what is due, and the end of an earlier row of their source brings the first of each topic
back (migration 0004). The row that they wait for is locked while they are parked, so that its end cannot be missed;
nothing here waits for a lock. Parking costs a row two more writes, so a few blocked rows are left where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from subscriber.model import Lane
from subscriber.store.cells import PARKED
from subscriber.store.postgres.database import NOW
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.patterns import regular_expression

# Due rows of a lane that one turn looks through for some whose turn it is: about 2 ms.
WINDOW_ROWS = 256
# As many due rows of a lane must be left for those whose turn it is not to be parked.
CROWD_ROWS = 64
# Rows parked by one statement, and how often one lease does that: some 20 ms each.
PARKED_AT_ONCE = 512
CROWDS = 4

Orders = Mapping[Lane, Sequence[str]]  # lanes that keep their order → the topic patterns over which they do

# The lanes asked for, in order; `regex` is NULL where no order is kept.
ASKED = f"""
    clock AS MATERIALIZED (SELECT {NOW} AS now),
    lane AS (
        SELECT tenants.id AS tenant_id, asked.* FROM
        unnest(%(platforms)s::text[], %(names)s::text[], %(topics)s::text[], %(regexes)s::text[])
        WITH ORDINALITY AS asked (platform, name, topic, regex, place)
        JOIN tenants ON tenants.platform = asked.platform AND tenants.name = asked.name)
"""
DUE = """
    state = 'pending' AND tenant_id = lane.tenant_id AND topic = lane.topic
    AND not_before <= (SELECT now FROM clock)
"""
# The topics of a lane's tenant, among rows that wait or run, over which it keeps its order.
WATCHED = """
    SELECT ARRAY (
        WITH RECURSIVE waiting (topic) AS (
            (SELECT topic FROM inbox WHERE state = 'pending' AND tenant_id = lane.tenant_id ORDER BY topic LIMIT 1)
            UNION ALL
            SELECT (SELECT inbox.topic FROM inbox WHERE state = 'pending' AND tenant_id = lane.tenant_id
                    AND inbox.topic > waiting.topic ORDER BY inbox.topic LIMIT 1)
            FROM waiting WHERE waiting.topic IS NOT NULL
        )
        SELECT topic FROM (
            SELECT topic FROM waiting UNION SELECT topic FROM running WHERE tenant_id = lane.tenant_id) AS topics
        WHERE topic ~ lane.regex) AS topics
"""
RUNNING = "running AS MATERIALIZED (SELECT DISTINCT tenant_id, topic FROM inbox WHERE state = 'running')"
RUNS = """
    source <> '' AND state = 'running' AND tenant_id = lane.tenant_id AND source = head.source AND topic = other.topic
"""
EARLIER = """
    source <> '' AND state IN ('pending', 'running') AND tenant_id = lane.tenant_id AND source = head.source
    AND topic = other.topic AND (xid, seq) < (head.xid, head.seq)
"""
# (`(SELECT true … LIMIT 1)` rather than EXISTS: for that the planner may read all there is into a hash table.)
# What may be leased: the oldest :depth rows of each lane whose turn it is, :limit in all, locked. Only as many lanes
# and rows are looked at as that takes.
CHOSEN = f"""
    {ASKED}, {RUNNING},
    chosen AS MATERIALIZED (
        SELECT lane.place, lane.platform, lane.name, free.seq FROM lane
        CROSS JOIN LATERAL (
            SELECT CASE WHEN lane.regex IS NOT NULL THEN ({WATCHED}) END AS topics OFFSET 0) AS watched
        CROSS JOIN LATERAL (
            SELECT taken.seq FROM (
                SELECT seq, xid, source, not_before FROM inbox WHERE {DUE} ORDER BY not_before, seq
                LIMIT CASE WHEN lane.regex IS NOT NULL THEN {WINDOW_ROWS} END) AS head
            CROSS JOIN LATERAL (
                SELECT seq FROM inbox
                WHERE seq = head.seq AND state = 'pending' AND not_before = head.not_before
                FOR UPDATE SKIP LOCKED) AS taken
            WHERE lane.regex IS NULL OR head.source = '' OR (
                head.xid < %(horizon)s::xid8 AND (
                    SELECT true FROM unnest(watched.topics) AS other (topic)
                    WHERE coalesce((SELECT true FROM inbox WHERE {EARLIER} LIMIT 1),
                        (SELECT true FROM inbox WHERE {RUNS} LIMIT 1)) LIMIT 1) IS NULL)
            LIMIT %(depth)s) AS free
        ORDER BY lane.place LIMIT %(limit)s)
"""
PARK = f"""
    WITH {ASKED}, {RUNNING},
    blocked AS MATERIALIZED (
        SELECT head.seq FROM lane
        CROSS JOIN LATERAL ({WATCHED} OFFSET 0) AS watched
        CROSS JOIN LATERAL (
            SELECT seq, xid, source FROM inbox WHERE {DUE} AND source <> '' ORDER BY not_before, seq
            LIMIT {PARKED_AT_ONCE} FOR UPDATE SKIP LOCKED) AS head
        CROSS JOIN LATERAL (
            SELECT 1 FROM unnest(watched.topics) AS other (topic)
            CROSS JOIN LATERAL (
                SELECT seq FROM inbox WHERE {EARLIER} LIMIT 1 FOR SHARE SKIP LOCKED) AS found
            LIMIT 1) AS blocker
        WHERE {CROWD_ROWS} = (SELECT count(*) FROM (SELECT 1 FROM inbox WHERE {DUE} LIMIT {CROWD_ROWS}) AS crowd)
        LIMIT {PARKED_AT_ONCE})
    UPDATE inbox SET not_before = not_before + {PARKED} FROM blocked WHERE inbox.seq = blocked.seq
"""


def asked(lanes: Sequence[Lane], ordered: Orders) -> dict[str, object]:
    """The parameters of ``ASKED``."""
    return {
        "platforms": [lane.tenant.platform for lane in lanes],
        "names": [lane.tenant.name for lane in lanes],
        "topics": [lane.topic for lane in lanes],
        "regexes": [regular_expression(ordered[lane]) if lane in ordered else None for lane in lanes],
    }


def park(connection: Connection, lanes: Sequence[Lane], ordered: Orders, now: int | None) -> int:
    """Take rows out of what is due that wait for an earlier one, in lanes where they crowd. Returns how many."""
    return connection.execute(PARK, {**asked(lanes, ordered), "now": now}).rowcount
