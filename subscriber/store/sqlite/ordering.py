"""Which rows of an ordered lane may be leased: one of a source at a time, in the order of arrival.

A row is free when no unsettled row of its tenant and source, with a topic its order extends to, came before it, and
none that came later runs: a replay gives a row its old place back.

Rows with others before them would be looked at again on every turn, and a source that stands still piles them up in
front of everybody else's. Where they stand in the way they are *parked*: their time moves by PARKED, out of what is
due, and triggers (migration 0004) bring the first parked row of each topic back when a row of the source ends. None
is left behind: whatever is parked has an unsettled row before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from subscriber.model import Lane
from subscriber.store.cells import PARKED
from subscriber.store.sqlite.transaction import Transaction

# Rows parked by one lease: about 10 ms of the writer's turn.
PARKED_AT_ONCE = 1000
LARGEST_LOOK = 256

# The next due rows of a lane behind a given one: (not_before, seq, source).
NEXT = """
    SELECT not_before, seq, source FROM inbox
    WHERE state = 'pending' AND tenant_id = ? AND topic = ? AND (not_before, seq) > (?, ?) AND not_before <= ?
    ORDER BY not_before, seq LIMIT ?
"""
# Of each source: (source, topic, seq, runs) of the first pending row of each topic, and of all rows that run. One
# look into the index per source and topic, however much of it waits.
WAITS = "source <> '' AND state = 'pending' AND tenant_id = :tenant"
UNSETTLED = f"""
    WITH RECURSIVE first (source, topic, seq) AS (
        SELECT inbox.source, inbox.topic, inbox.seq FROM json_each(:sources) AS asked
        CROSS JOIN inbox ON inbox.seq =
            (SELECT seq FROM inbox WHERE {WAITS} AND source = asked.value ORDER BY topic, seq LIMIT 1)
        UNION ALL
        SELECT next.source, next.topic, next.seq FROM first
        CROSS JOIN inbox AS next ON next.seq =
            (SELECT seq FROM inbox WHERE {WAITS} AND source = first.source AND topic > first.topic
            ORDER BY topic, seq LIMIT 1)
    )
    SELECT source, topic, seq, 0 FROM first
    UNION ALL
    SELECT source, topic, seq, 1 FROM json_each(:sources) AS asked
    CROSS JOIN inbox INDEXED BY inbox_source_running
    WHERE source <> '' AND state = 'running' AND tenant_id = :tenant AND source = asked.value
"""
PARK = f"UPDATE inbox SET not_before = not_before + {PARKED} WHERE seq IN (SELECT value FROM json_each(?))"

IS_PARKED = f"state = 'pending' AND not_before >= {PARKED}"
ANY_PARKED = f"SELECT 1 FROM inbox INDEXED BY inbox_parked WHERE {IS_PARKED} LIMIT 1"
UNPARK = f"""
    UPDATE inbox SET not_before = not_before - {PARKED} WHERE seq IN (
        SELECT parked.seq FROM json_each(?) AS lane
        CROSS JOIN tenants ON tenants.platform = lane.value ->> 0 AND tenants.name = lane.value ->> 1
        CROSS JOIN inbox AS parked ON parked.seq IN (
            SELECT seq FROM inbox WHERE {IS_PARKED} AND tenant_id = tenants.id AND topic = lane.value ->> 2
            ORDER BY not_before, seq LIMIT ?))
"""


class Candidate(NamedTuple):
    """A due row of a lane; lanes hold them in this order."""

    not_before: int
    seq: int
    source: str


START = Candidate(-(2**63), 0, "")  # before every row


class Unsettled(NamedTuple):
    """A row that may stand before others of its source."""

    topic: str
    seq: int
    runs: int  # 1 or 0


class Search:
    """One lease's search through ordered lanes. ``cut_short``: there may be more than it looked at."""

    def __init__(self, transaction: Transaction, limit: int, lanes: int) -> None:
        self._transaction = transaction
        self._limit = limit
        self._first_look = max(1, limit // lanes)
        self._parked: list[int] = []
        self.cut_short = False

    def free(self, lane: Lane, patterns: Sequence[str]) -> Iterator[int]:
        """Seqs of the lane's free rows, oldest first, as far as a lease may look.

        Every lane gets its first look. Further ones follow while less than half of what is wanted was free.
        """
        matches = _matcher(patterns)
        tenant_id = self._tenant_id(lane)
        place, count, found = START, self._first_look, 0
        while True:
            rows = self._next(tenant_id, lane, place, count)
            free, behind = self._sorted_out(tenant_id, rows, matches)
            found += len(free)
            if place is not START or _in_the_way(behind, rows, count):
                self._parked += behind
            yield from free
            if len(rows) < count or 2 * found >= self._limit:
                return
            if len(self._parked) >= PARKED_AT_ONCE:
                self.cut_short = True
                return
            place, count = rows[-1], min(2 * count, LARGEST_LOOK)

    def park(self) -> None:
        """Put away what stood in the way."""
        if self._parked:
            self._transaction.execute(PARK, (json.dumps(self._parked),))

    def _tenant_id(self, lane: Lane) -> int | None:
        found = self._transaction.execute(
            "SELECT id FROM tenants WHERE platform = ? AND name = ?", lane.tenant
        ).fetchone()
        return None if found is None else found[0]

    def _next(self, tenant_id: int | None, lane: Lane, behind: Candidate, count: int) -> list[Candidate]:
        known = (tenant_id, lane.topic, behind.not_before, behind.seq, self._transaction.now, count)
        return [Candidate(*cells) for cells in self._transaction.execute(NEXT, known).fetchall()]

    def _sorted_out(
        self, tenant_id: int | None, rows: Sequence[Candidate], matches: Callable[[str], bool]
    ) -> tuple[list[int], list[int]]:
        """The seqs of rows that are free, and of those that stand behind another."""
        others = self._unsettled(tenant_id, {row.source for row in rows if row.source})
        free, behind = [], []
        for row in rows:
            before = [other for other in others.get(row.source, ()) if matches(other.topic)]
            if any(other.seq < row.seq for other in before):
                behind.append(row.seq)
            elif not any(other.runs for other in before):
                free.append(row.seq)
        return free, behind

    def _unsettled(self, tenant_id: int | None, sources: Iterable[str]) -> dict[str, list[Unsettled]]:
        known = {"tenant": tenant_id, "sources": json.dumps(sorted(sources))}
        found: dict[str, list[Unsettled]] = {}
        for source, *cells in self._transaction.execute(UNSETTLED, known).fetchall():
            found.setdefault(source, []).append(Unsettled(*cells))
        return found


def _in_the_way(behind: Sequence[int], rows: Sequence[Candidate], count: int) -> bool:
    """Is it worth two writes each to look past these? Not if they are few, nor if nothing comes after them."""
    return len(rows) == count and 2 * len(behind) > count


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Does the order extend to a topic? Asked of few topics, many times."""
    return cache(lambda topic: any(fnmatchcase(topic, pattern) for pattern in patterns))


def unpark(lanes: Sequence[Lane], limit: int, transaction: Transaction) -> None:
    """Bring back the ``limit`` oldest parked rows of each of these lanes: they have no order, or have lost it."""
    if transaction.execute(ANY_PARKED).fetchall():
        transaction.execute(UNPARK, (as_json(lanes), limit))


def as_json(lanes: Iterable[Lane]) -> str:
    """Lanes as a statement takes them."""
    return json.dumps([(*lane.tenant, lane.topic) for lane in lanes])
