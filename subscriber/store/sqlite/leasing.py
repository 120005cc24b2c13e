"""Choosing rows to handle, and ending attempts. All but ``LANES`` runs inside the committer's transaction.

Work here follows the number of lanes and of rows leased, never the backlog behind them. Which rows of an ordered lane
may go is ``ordering``'s to say.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import NamedTuple

from subscriber.model import (
    Attempt,
    Dead,
    Decision,
    Done,
    Hold,
    Lane,
    Retry,
    State,
    to_millis,
)
from subscriber.store import Counter
from subscriber.store.cells import ATTEMPT, PARKED, attempt, clipped, names_to
from subscriber.store.sqlite.ordering import Search, as_json, unpark
from subscriber.store.sqlite.transaction import Transaction

# Leases that ran out and are returned in one go: far more than handlers that run at once.
EXPIRED_AT_ONCE = 1000

# One look into the index per lane: the first pending row of a lane is the one that waits longest, and the next
# lane is the tenant's next topic or else the next tenant's first. (SQLite would search an index for a pair of values
# by the first of them only, and walk through the backlog.)
PENDING_LANES = """
    lanes (tenant_id, topic, not_before) AS (
        SELECT * FROM (
            SELECT tenant_id, topic, not_before FROM inbox WHERE state = 'pending'
            ORDER BY tenant_id, topic, not_before LIMIT 1)
        UNION ALL
        SELECT next.tenant_id, next.topic, next.not_before FROM lanes JOIN inbox AS next ON next.seq = coalesce(
            (SELECT seq FROM inbox
            WHERE state = 'pending' AND tenant_id = lanes.tenant_id AND topic > lanes.topic
            ORDER BY topic, not_before LIMIT 1),
            (SELECT seq FROM inbox
            WHERE state = 'pending' AND tenant_id > lanes.tenant_id
            ORDER BY tenant_id, topic, not_before LIMIT 1))
    )
"""
# When the time of the lane's longest parked row came: it is due, too, though an ordered lease must not have it yet.
SINCE_OF_PARKED = f"""
    (SELECT min(not_before) - {PARKED} FROM inbox
    WHERE state = 'pending' AND tenant_id = lanes.tenant_id AND topic = lanes.topic AND not_before >= {PARKED})
"""
LANES = f"""
    WITH RECURSIVE {PENDING_LANES}
    SELECT platform, name, topic FROM tenants JOIN (
        SELECT tenant_id, topic FROM lanes WHERE not_before <= :now OR {SINCE_OF_PARKED} IS NOT NULL
        UNION
        SELECT tenant_id, topic FROM inbox WHERE state = 'running' AND lease_until <= :now
    ) ON tenants.id = tenant_id
"""
OLDEST = f"""
    WITH RECURSIVE {PENDING_LANES}
    SELECT min(since) FROM (
        SELECT tenant_id, not_before AS since FROM lanes
        UNION ALL
        SELECT tenant_id, {SINCE_OF_PARKED} FROM lanes
    ) WHERE since <= :now"""

# (position of the lane, not_before, seq) of due rows: the oldest :depth of each lane, :limit in all. Nothing is
# sorted here, so that looking ends with the last row wanted.
DUE = """
    SELECT lane.key, due.not_before, due.seq
    FROM json_each(:lanes) AS lane
    CROSS JOIN tenants ON tenants.platform = lane.value ->> 0 AND tenants.name = lane.value ->> 1
    CROSS JOIN inbox AS due ON due.seq IN (
        SELECT seq FROM inbox
        WHERE state = 'pending' AND tenant_id = tenants.id AND topic = lane.value ->> 2 AND not_before <= :now
        ORDER BY not_before, seq LIMIT :depth)
    LIMIT :limit
"""
TAKE = """
    UPDATE inbox SET state = 'running', attempts = attempts + 1, lease = lease + 1, lease_until = ?
    WHERE seq IN (SELECT value FROM json_each(?))
"""
TAKEN = f"""
    SELECT {ATTEMPT} FROM json_each(?) AS chosen
    CROSS JOIN inbox ON inbox.seq = chosen.value
    CROSS JOIN tenants ON tenants.id = inbox.tenant_id
    ORDER BY chosen.key
"""
RETURN_EXPIRED = """
    UPDATE inbox SET state = 'pending', lease_until = NULL WHERE seq IN (
        SELECT seq FROM inbox WHERE state = 'running' AND lease_until <= ? LIMIT ?)
"""
# A lease is held while nobody leased the row again and it was not returned.
HELD = "seq = ? AND lease = ? AND state = 'running'"


class Leased(NamedTuple):
    """What a lease found. ``cut_short``: nothing, but it has not looked at everything yet."""

    attempts: list[Attempt]
    cut_short: bool


def lease(
    lanes: Sequence[Lane],
    limit: int,
    seconds: float,
    ordered: Mapping[Lane, Sequence[str]],
    transaction: Transaction,
) -> Leased:
    """See ``Inbox.lease``."""
    transaction.execute(RETURN_EXPIRED, (transaction.now, EXPIRED_AT_ONCE))
    due = _due([lane for lane in lanes if lane not in ordered], limit, transaction)
    search = Search(transaction, limit, len(lanes))
    queues = [search.free(lane, ordered[lane]) if lane in ordered else iter(due.get(lane, ())) for lane in lanes]
    chosen = list(islice(_in_turns(queues), limit))
    search.park()
    return Leased(_take(chosen, seconds, transaction), search.cut_short and not chosen)


def _due(lanes: Sequence[Lane], limit: int, transaction: Transaction) -> dict[Lane, list[int]]:
    """The rows that may be leased of lanes without an order. With enough lanes the oldest row of each will do."""
    if not lanes:
        return {}
    unpark(lanes, limit, transaction)
    heads = _find(lanes, 1, limit, transaction)
    return heads if len(heads) == limit else _find(list(heads), limit, limit * len(heads), transaction)


def _find(lanes: Sequence[Lane], depth: int, limit: int, transaction: Transaction) -> dict[Lane, list[int]]:
    """Seqs of due rows, oldest first, of the lanes that have any."""
    known = {"lanes": as_json(lanes), "now": transaction.now, "depth": depth, "limit": limit}
    found: dict[Lane, list[int]] = {}
    for position, _, seq in sorted(transaction.execute(DUE, known).fetchall()):
        found.setdefault(lanes[position], []).append(seq)
    return found


def _in_turns(queues: Iterable[Iterator[int]]) -> Iterator[int]:
    """The first of each, then the second of each, …; nothing is asked of a queue before its turn comes."""
    waiting = deque(queues)
    while waiting:
        queue = waiting.popleft()
        for seq in islice(queue, 1):
            yield seq
            waiting.append(queue)


def _take(chosen: Sequence[int], seconds: float, transaction: Transaction) -> list[Attempt]:
    seqs = json.dumps(chosen)
    transaction.execute(TAKE, (transaction.now + int(seconds * 1000), seqs))
    return [attempt(cells) for cells in transaction.execute(TAKEN, (seqs,)).fetchall()]


def holds(held: Attempt, transaction: Transaction) -> bool:
    """Is the lease still this attempt's?"""
    return bool(transaction.execute(f"SELECT 1 FROM inbox WHERE {HELD}", (held.seq, held.lease)).fetchall())


def extend(held: Attempt, seconds: float, transaction: Transaction) -> bool:
    """See ``Inbox.extend``."""
    until = transaction.now + int(seconds * 1000)
    cursor = transaction.execute(f"UPDATE inbox SET lease_until = ? WHERE {HELD}", (until, held.seq, held.lease))
    return cursor.rowcount == 1


def settle(held: Attempt, decision: Decision, sinks_done: frozenset[str], transaction: Transaction) -> bool:
    """See ``Inbox.settle``."""
    end, back = partial(_end, transaction, held), partial(_put_back, transaction, held)
    sinks = names_to(held.sinks_done | sinks_done)
    match decision:
        case Done(reason):
            return _count(transaction, Counter.DONE, end(State.DONE, reason, "", sinks))
        case Dead(reason, detail):
            return _count(transaction, Counter.DEAD, end(State.DEAD, reason, detail, sinks))
        case Hold(at, reason, detail):
            return bool(back(at, held.number - 1, reason, detail, sinks))
        case Retry(at, reason, detail):
            if at is None:
                raise ValueError("a retry is settled with its time: the policy that picks one is the dispatcher's")
            return _count(transaction, Counter.RETRY, back(at, held.number, reason, detail, sinks))


def _end(
    transaction: Transaction, held: Attempt, state: State, reason: str, detail: str, sinks: str
) -> list[tuple[int]]:
    """The tenant id of the row in a list, empty if the lease was lost."""
    return transaction.execute(
        "UPDATE inbox SET state = ?, lease_until = NULL, settled_at = ?, reason = ?, detail = ?, sinks_done = ? "
        f"WHERE {HELD} RETURNING tenant_id",
        (state, transaction.now, reason, clipped(detail), sinks, held.seq, held.lease),
    ).fetchall()


def _put_back(
    transaction: Transaction, held: Attempt, at: datetime, attempts: int, reason: str, detail: str, sinks: str
) -> list[tuple[int]]:
    """As ``_end``."""
    return transaction.execute(
        "UPDATE inbox SET state = 'pending', lease_until = NULL, not_before = ?, attempts = ?, reason = ?, "
        f"detail = ?, sinks_done = ? WHERE {HELD} RETURNING tenant_id",
        (min(to_millis(at), PARKED - 1), attempts, reason, clipped(detail), sinks, held.seq, held.lease),
    ).fetchall()


def _count(transaction: Transaction, event: str, settled: Sequence[tuple[int]]) -> bool:
    for (tenant_id,) in settled:
        transaction.count(tenant_id, event)
    return bool(settled)
