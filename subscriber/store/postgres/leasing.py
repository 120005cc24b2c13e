"""Choosing rows to handle.

Work here follows the number of lanes and of rows leased, never the backlog behind them. Rows are locked as they are
chosen and those that others have locked are passed over, so that leasing processes never wait for each other. Lanes
whose rows keep their order go through ``ordering``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from subscriber.model import Attempt, Lane, Tenant
from subscriber.store.cells import ATTEMPT, PARKED, attempt
from subscriber.store.postgres import ordering
from subscriber.store.postgres.database import NOW
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.horizon import horizon
from subscriber.store.postgres.ordering import ASKED, CHOSEN, Orders

# Rows with their bodies, in memory at once; far more than handlers that run.
LARGEST_LEASE = 256
# Leases that ran out and are returned in one go: far more than handlers that run at once.
EXPIRED_AT_ONCE = 1000

# One look into the index per lane: the first pending row of a lane is the one that waits longest.
PENDING_LANES = """
    lanes AS (
        (SELECT tenant_id, topic, not_before FROM inbox WHERE state = 'pending'
        ORDER BY tenant_id, topic, not_before LIMIT 1)
        UNION ALL
        SELECT next.* FROM lanes CROSS JOIN LATERAL (
            SELECT tenant_id, topic, not_before FROM inbox
            WHERE state = 'pending' AND (tenant_id, topic) > (lanes.tenant_id, lanes.topic)
            ORDER BY tenant_id, topic, not_before LIMIT 1) AS next
    )
"""
# A lane is listed for its parked rows too: their time has come, it is only not their turn while the order is kept.
SINCE_OF_PARKED = f"""
    (SELECT not_before - {PARKED} FROM inbox
    WHERE state = 'pending' AND tenant_id = lanes.tenant_id AND topic = lanes.topic AND not_before >= {PARKED}
    ORDER BY not_before LIMIT 1)
"""
LANES = f"""
    WITH RECURSIVE {PENDING_LANES}, clock AS MATERIALIZED (SELECT {NOW} AS now)
    SELECT platform, name, topic FROM (
        SELECT tenant_id, topic FROM lanes
        WHERE not_before <= (SELECT now FROM clock) OR {SINCE_OF_PARKED} IS NOT NULL
        UNION
        SELECT tenant_id, topic FROM inbox WHERE state = 'running' AND lease_until <= (SELECT now FROM clock)
    ) AS busy JOIN tenants ON tenants.id = tenant_id
"""
RETURN_EXPIRED = f"""
    UPDATE inbox SET state = 'pending', lease_until = NULL WHERE seq = ANY (ARRAY (
        SELECT seq FROM inbox WHERE state = 'running' AND lease_until <= {NOW}
        ORDER BY lease_until LIMIT {EXPIRED_AT_ONCE} FOR UPDATE SKIP LOCKED))
"""
TAKE = f"""
    UPDATE inbox SET state = 'running', attempts = attempts + 1, lease = lease + 1,
    lease_until = {NOW} + %(millis)s, not_before = mod(not_before, {PARKED})
    FROM chosen AS tenants WHERE inbox.seq = tenants.seq
    RETURNING tenants.place, inbox.not_before, {ATTEMPT}
"""
TAKE_DUE = f"WITH {CHOSEN} {TAKE}"
# What an order parked, for lanes that keep none any more.
TAKE_PARKED = f"""
    WITH {ASKED},
    chosen AS MATERIALIZED (
        SELECT lane.place, lane.platform, lane.name, parked.seq FROM lane CROSS JOIN LATERAL (
            SELECT seq FROM inbox
            WHERE state = 'pending' AND tenant_id = lane.tenant_id AND topic = lane.topic AND not_before >= {PARKED}
            ORDER BY not_before, seq LIMIT %(depth)s FOR UPDATE SKIP LOCKED) AS parked
        ORDER BY lane.place LIMIT %(limit)s)
    {TAKE}
"""


class Leasing:
    """One call of ``Inbox.lease``, inside a transaction."""

    def __init__(self, connection: Connection, now: int | None, seconds: float, ordered: Orders) -> None:
        self._connection = connection
        self._known: dict[str, int | str | None] = {"now": now, "millis": int(seconds * 1000), "horizon": None}
        self._now = now
        self._ordered = ordered
        self._taken: dict[Lane, list[tuple[int, Attempt]]] = {}  # with the time since when each could be leased

    def __call__(self, lanes: Sequence[Lane], limit: int) -> list[Attempt]:
        """The attempts, one of each lane in turn."""
        self._connection.execute(RETURN_EXPIRED, self._known)
        if self._ordered:
            self._known["horizon"] = horizon(self._connection)
        room = min(limit, LARGEST_LEASE)
        room -= self._share_out(TAKE_DUE, lanes, room)
        if room:
            room -= self._share_out(TAKE_PARKED, [lane for lane in lanes if lane not in self._ordered], room)
            self._look_behind([lane for lane in lanes if lane in self._ordered], room)
        queues = [sorted(self._taken.get(lane, ()), key=_age) for lane in lanes]
        return [attempt for _, attempt in _in_turns(queues)]

    def _look_behind(self, lanes: Sequence[Lane], room: int) -> None:
        """What stands in the way goes aside, a crowd at a time, to find those behind it whose turn it is."""
        for _ in range(ordering.CROWDS):
            if not (room and lanes and ordering.park(self._connection, lanes, self._ordered, self._now)):
                return
            room -= self._share_out(TAKE_DUE, lanes, room)

    def _share_out(self, sql: str, lanes: Sequence[Lane], room: int) -> int:
        """Give each lane its part of the room, and what is left to those that have more. Returns what was taken."""
        taken = 0
        while lanes and taken < room:
            depth = max(1, (room - taken) // len(lanes))
            found = self._take(sql, lanes, depth, room - taken)
            taken += found.total()
            lanes = [lane for lane in lanes if found[lane] == depth]
        return taken

    def _take(self, sql: str, lanes: Sequence[Lane], depth: int, limit: int) -> Counter[Lane]:
        """How many rows of each lane."""
        known = {**self._known, **ordering.asked(lanes, self._ordered), "depth": depth, "limit": limit}
        found: Counter[Lane] = Counter()
        for place, not_before, *cells in self._connection.execute(sql, known, binary=True).fetchall():
            lane = lanes[place - 1]
            found[lane] += 1
            self._taken.setdefault(lane, []).append((not_before, attempt(cells)))
        return found


def lanes(connection: Connection, now: int | None) -> list[Lane]:
    """See ``Inbox.lanes``."""
    rows = connection.execute(LANES, {"now": now}).fetchall()
    return [Lane(Tenant(platform, name), topic) for platform, name, topic in rows]


def _age(taken: tuple[int, Attempt]) -> tuple[int, int]:
    not_before, attempt = taken
    return not_before, attempt.seq


def _in_turns(queues: Sequence[Sequence[tuple[int, Attempt]]]) -> Iterator[tuple[int, Attempt]]:
    """The first of each, then the second of each, …"""
    return (taken for taken in chain.from_iterable(zip_longest(*queues)) if taken is not None)
