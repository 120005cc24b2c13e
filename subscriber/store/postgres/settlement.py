"""Ending attempts and extending leases: those that wait at the same time are one statement, which commits itself.

A lease is held while nobody leased the row again and it was not returned: the update asks for exactly that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from subscriber.model import Attempt, Dead, Decision, Done, Hold, Retry, State, to_millis
from subscriber.store import Counter
from subscriber.store.cells import PARKED, clipped, names_to
from subscriber.store.postgres.counters import MINUTE_MILLIS, WRITER
from subscriber.store.postgres.database import NOW, Database
from subscriber.store.postgres.driver import Connection

SETTLE = f"""
    WITH clock AS MATERIALIZED (SELECT {NOW} AS now),
    settled AS (
        UPDATE inbox SET state = given.state, lease_until = NULL,
        settled_at = CASE WHEN given.not_before IS NULL THEN (SELECT now FROM clock) END,
        not_before = coalesce(given.not_before, inbox.not_before),
        attempts = given.attempts, reason = given.reason, detail = given.detail, sinks_done = given.sinks_done
        FROM unnest(%(seqs)s::bigint[], %(leases)s::bigint[], %(states)s::text[], %(not_before)s::bigint[],
            %(attempts)s::bigint[], %(reasons)s::text[], %(details)s::text[], %(sinks_done)s::text[],
            %(events)s::text[])
        AS given (seq, lease, state, not_before, attempts, reason, detail, sinks_done, event)
        WHERE inbox.seq = given.seq AND inbox.lease = given.lease AND inbox.state = 'running'
        RETURNING inbox.seq, inbox.tenant_id, given.event),
    counted AS (
        INSERT INTO minutes (minute, tenant_id, event, writer, count)
        SELECT (SELECT now FROM clock) / {MINUTE_MILLIS}, tenant_id, event, {WRITER}, count(*) FROM settled
        WHERE event <> '' GROUP BY tenant_id, event ORDER BY tenant_id, event
        ON CONFLICT (minute, tenant_id, event, writer) DO UPDATE SET count = minutes.count + excluded.count),
    totalled AS (
        INSERT INTO totals (tenant_id, event, writer, count)
        SELECT tenant_id, event, {WRITER}, count(*) FROM settled
        WHERE event = '{Counter.DONE}' GROUP BY tenant_id, event ORDER BY tenant_id
        ON CONFLICT (tenant_id, event, writer) DO UPDATE SET count = totals.count + excluded.count)
    SELECT seq FROM settled
"""
EXTEND = f"""
    UPDATE inbox SET lease_until = {NOW} + given.millis
    FROM unnest(%(seqs)s::bigint[], %(leases)s::bigint[], %(millis)s::bigint[]) AS given (seq, lease, millis)
    WHERE inbox.seq = given.seq AND inbox.lease = given.lease AND inbox.state = 'running'
    RETURNING inbox.seq
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ends, as columns of ``SETTLE``. ``not_before`` is None where the row ends."""

    seq: int
    lease: int
    state: State
    not_before: int | None
    attempts: int
    reason: str
    detail: str
    sinks_done: str
    event: str  # the counter it raises; empty: none


@dataclass(frozen=True, slots=True)
class Extension:
    """A lease that shall last for so many milliseconds from now."""

    seq: int
    lease: int
    millis: int


Closing = Ending | Extension


def ending(held: Attempt, decision: Decision, sinks_done: frozenset[str]) -> Ending:
    """What a decision means for the row. Raises ``ValueError`` for a retry without its time."""
    sinks = names_to(held.sinks_done | sinks_done)
    match decision:
        case Done(reason):
            return _ended(held, State.DONE, reason, "", sinks, Counter.DONE)
        case Dead(reason, detail):
            return _ended(held, State.DEAD, reason, detail, sinks, Counter.DEAD)
        case Hold(at, reason, detail):
            return _put_back(held, at, held.number - 1, reason, detail, sinks, "")
        case Retry(at, reason, detail):
            if at is None:
                raise ValueError("a retry is settled with its time: the policy that picks one is the dispatcher's")
            return _put_back(held, at, held.number, reason, detail, sinks, Counter.RETRY)


def _ended(held: Attempt, state: State, reason: str, detail: str, sinks: str, event: str) -> Ending:
    return Ending(held.seq, held.lease, state, None, held.number, reason, clipped(detail), sinks, event)


def _put_back(held: Attempt, at: datetime, attempts: int, reason: str, detail: str, sinks: str, event: str) -> Ending:
    not_before = min(to_millis(at), PARKED - 1)
    return Ending(held.seq, held.lease, State.PENDING, not_before, attempts, reason, clipped(detail), sinks, event)


class Settlement:
    """The settling committer's ``Performer``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def perform(self, connection: Connection, works: Sequence[Closing]) -> Sequence[bool]:
        """For each: was the lease held? A row is met once in a statement: what comes again gets the next one."""
        now = self._database.told_millis()
        answers: dict[int, bool] = {}
        waiting = list(enumerate(works))
        while waiting:
            turn = {work.seq: place for place, work in reversed(waiting)}
            chosen = sorted(turn.values())
            held = self._close(connection, now, [works[place] for place in chosen])
            answers |= {place: works[place].seq in held for place in chosen}
            waiting = [(place, work) for place, work in waiting if place not in answers]
        return [answers[place] for place in range(len(works))]

    def follow_up(self, connection: Connection) -> float | None:
        return None

    def _close(self, connection: Connection, now: int | None, works: Sequence[Closing]) -> set[int]:
        extensions = [work for work in works if isinstance(work, Extension)]
        endings = [work for work in works if isinstance(work, Ending)]
        held = extend(connection, now, extensions) if extensions else set()
        return held | settle(connection, now, endings) if endings else held


def settle(connection: Connection, now: int | None, endings: Sequence[Ending]) -> set[int]:
    """End attempts of different rows; returns those whose lease was held. Rows in order, as everybody locks them."""
    each = sorted(endings, key=lambda ending: ending.seq)
    known = {
        "now": now,
        "seqs": [ending.seq for ending in each],
        "leases": [ending.lease for ending in each],
        "states": [str(ending.state) for ending in each],
        "not_before": [ending.not_before for ending in each],
        "attempts": [ending.attempts for ending in each],
        "reasons": [ending.reason for ending in each],
        "details": [ending.detail for ending in each],
        "sinks_done": [ending.sinks_done for ending in each],
        "events": [ending.event for ending in each],
    }
    return {seq for (seq,) in connection.execute(SETTLE, known).fetchall()}


def extend(connection: Connection, now: int | None, extensions: Sequence[Extension]) -> set[int]:
    """Move the ends of leases; as ``settle``."""
    each = sorted(extensions, key=lambda extension: extension.seq)
    known = {
        "now": now,
        "seqs": [extension.seq for extension in each],
        "leases": [extension.lease for extension in each],
        "millis": [extension.millis for extension in each],
    }
    return {seq for (seq,) in connection.execute(EXTEND, known).fetchall()}
