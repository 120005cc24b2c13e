"""The Reports on SQLite; see ``store.Reports``. Reads only, on connections that cannot write.

No query's work grows with the number of done rows: totals come from counters, rows in other states from partial
indexes, and lists look at a bounded number of rows. Who may see some tenants only has their ids in every statement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from subscriber.errors import InvalidCursor
from subscriber.model import Tenant, from_millis, to_millis
from subscriber.store import (
    ByReason,
    Clock,
    Counts,
    DeadFilter,
    DeadLetterRow,
    Page,
    Row,
    RowFilter,
    Tail,
    cursors,
    paging,
)
from subscriber.store.cells import DEAD_LETTER, ROW, dead_letter, row
from subscriber.store.paging import MINUTE_MILLIS, MINUTES_KEPT, QUARTER
from subscriber.store.sqlite import listing
from subscriber.store.sqlite.driver import Connection
from subscriber.store.sqlite.leasing import OLDEST
from subscriber.store.sqlite.listing import OURS, Known
from subscriber.store.sqlite.readers import Readers

IDS = (
    "SELECT tenants.id FROM json_each(?) AS asked CROSS JOIN tenants "
    "ON platform = asked.value ->> 0 AND name = asked.value ->> 1"
)
COUNTED = ("pending", "running", "done", "dead", "duplicates", "dead_letters")
COUNTS = """
    SELECT
        (SELECT count(*) FROM inbox WHERE state = 'pending' AND {ours}),
        (SELECT count(*) FROM inbox INDEXED BY inbox_running WHERE state = 'running' AND {ours}),
        (SELECT total(count) FROM totals WHERE event = 'done' AND {ours}),
        (SELECT count(*) FROM inbox WHERE state = 'dead' AND {ours}),
        (SELECT total(count) FROM totals WHERE event = 'duplicate' AND {ours}),
        (SELECT count(*) FROM dead_letters WHERE {ours})
"""
MINUTES = (
    "SELECT minute / :step * :step, event, sum(count) FROM minutes WHERE minute >= :since GROUP BY 1, 2 ORDER BY 1, 2"
)
# Minute by minute: between two of a tenant's counters lie those of all others.
OUR_MINUTES = """
    WITH RECURSIVE each (minute) AS (SELECT :since UNION ALL SELECT minute + 1 FROM each WHERE minute < :now)
    SELECT each.minute / :step * :step, event, sum(count) FROM each CROSS JOIN json_each(:ids) AS own
    CROSS JOIN minutes ON minutes.minute = each.minute AND minutes.tenant_id = own.value
    GROUP BY 1, 2 ORDER BY 1, 2
"""
SUMMED = "SELECT coalesce(max(quarter) + 1, 0) FROM quarters"
QUARTERS = f"SELECT quarter * {QUARTER}, event, count FROM quarters WHERE quarter >= ? AND event <> '' ORDER BY 1, 2"
ONE = f"SELECT {ROW} FROM inbox JOIN tenants ON tenants.id = tenant_id WHERE {OURS} AND key = :key"
LETTER = (
    f"SELECT {DEAD_LETTER} FROM dead_letters JOIN tenants ON tenants.id = tenant_id "
    f"WHERE dead_letters.id = :id AND {OURS}"
)
LETTERS = f"""
    SELECT {DEAD_LETTER} FROM ({{candidates}} ORDER BY id DESC LIMIT :limit) AS candidates
    JOIN dead_letters ON dead_letters.id = candidates.id JOIN tenants ON tenants.id = tenant_id
    ORDER BY dead_letters.id DESC
"""
ALL_NEWEST = "SELECT id FROM dead_letters WHERE id < :before"
OUR_NEWEST = (
    "SELECT theirs.id AS id FROM json_each(:ids) AS own "
    "CROSS JOIN dead_letters AS theirs ON theirs.id IN (SELECT id FROM dead_letters "
    "WHERE tenant_id = own.value AND id < :before ORDER BY id DESC LIMIT :scan)"
)
# Of those with one reason among the newest.
WITH_REASON = (
    "SELECT newest.id AS id FROM ({newest} ORDER BY id DESC LIMIT :scan) AS newest "
    "JOIN dead_letters AS one ON one.id = newest.id WHERE one.reason = :reason"
)


# How many were looked at, then the groups. Dead rows of all are found by when they died, a tenant's among its own.
BY_REASON = """
    WITH candidates (reason, at) AS MATERIALIZED ({candidates} LIMIT :scan)
    SELECT count(*), NULL, NULL, NULL FROM candidates
    UNION ALL
    SELECT * FROM (
        SELECT reason, count(*), min(at), max(at) FROM candidates
        WHERE (:reason IS NULL OR reason = :reason) AND at >= :since AND at < :until
        GROUP BY reason ORDER BY 2 DESC, reason LIMIT :groups)
"""
ALL_DEAD = (
    "SELECT reason, settled_at FROM inbox INDEXED BY inbox_buried "
    "WHERE state = 'dead' AND settled_at >= :since AND settled_at < :until ORDER BY settled_at DESC"
)
OUR_DEAD = f"SELECT reason, settled_at FROM inbox INDEXED BY inbox_dead WHERE state = 'dead' AND {OURS}"
DEAD_LETTERS = "SELECT reason, last_at FROM dead_letters WHERE {ours} ORDER BY id DESC"


class SqliteReports:
    """``clock`` says what is due. ``seen``: the tenants these reports are limited to, None for all."""

    def __init__(self, readers: Readers, clock: Clock, seen: Sequence[Tenant] | None = None) -> None:
        self._readers = readers
        self._clock = clock
        self._seen = seen

    def within(self, tenants: Sequence[Tenant]) -> SqliteReports:
        return SqliteReports(self._readers, self._clock, paging.narrowed(self._seen, tenants))

    def counts(self, tenant: Tenant | None = None) -> Counts:
        with self._readers.lend() as connection:
            known = self._whose(connection, tenant)
            cells = connection.execute(COUNTS.format(ours=_ours(known)), known).fetchone()
        return Counts(**{name: int(cell) for name, cell in zip(COUNTED, cells, strict=True)})

    def rows(self, wanted: RowFilter, limit: int, before: int | None = None) -> Page:
        limit = paging.bounded(limit)
        with self._readers.lend() as connection:
            known = self._whose(connection, wanted.tenant) | listing.known(wanted, limit)
            known["before"] = paging.LARGEST_SEQ if before is None else before
            known |= listing.look_up(connection, wanted, known)
            cells = connection.execute(listing.newest(wanted, known), known).fetchall()
            window = partial(listing.window, connection, wanted, known)
            return paging.page(list(map(row, cells)), limit, wanted, window)

    def end(self) -> str:
        with self._readers.lend() as connection:
            return cursors.written([_end(connection)])

    def after(self, wanted: RowFilter, cursor: str, limit: int) -> Tail:
        limit = paging.bounded(limit)
        (behind,) = cursors.read(cursor, 1)
        with self._readers.lend() as connection:
            end = _end(connection)
            if behind > end:
                raise InvalidCursor("the cursor is of another database")
            known = self._whose(connection, wanted.tenant) | listing.known(wanted, limit)
            known |= {"behind": behind, "end": end}
            found = list(map(row, connection.execute(listing.arrived(known), known).fetchall()))
            full = len(found) == limit
            seq, more = (found[-1].seq, True) if full else listing.looked_up_to(connection, known)
        places = [cursors.written([one.seq]) for one in found]
        return Tail(found, cursors.written([seq]), places, more)

    def row(self, tenant: Tenant, key: bytes) -> Row | None:
        found = self._read(ONE, tenant, key=key)
        return row(found[0]) if found else None

    def dead_by_reason(self, wanted: DeadFilter) -> ByReason:
        with self._readers.lend() as connection:
            known = self._whose(connection, wanted.tenant) | paging.died(wanted)
            sql = BY_REASON.format(candidates=OUR_DEAD if "ids" in known else ALL_DEAD)
            return paging.by_reason(connection.execute(sql, known).fetchall())

    def letters_by_reason(self, tenant: Tenant | None = None) -> ByReason:
        with self._readers.lend() as connection:
            known = self._whose(connection, tenant) | paging.died(DeadFilter())
            sql = BY_REASON.format(candidates=DEAD_LETTERS.format(ours=_ours(known)))
            return paging.by_reason(connection.execute(sql, known).fetchall())

    def dead_letters(
        self, tenant: Tenant | None, limit: int, before: int | None = None, reason: str | None = None
    ) -> list[DeadLetterRow]:
        known = {"before": paging.LARGEST_SEQ if before is None else before, "limit": paging.bounded(limit)}
        known["scan"] = known["limit"] if reason is None else paging.GROUPED_ROWS
        with self._readers.lend() as connection:
            whose = self._whose(connection, tenant)
            newest = OUR_NEWEST if whose else ALL_NEWEST
            candidates = newest if reason is None else WITH_REASON.format(newest=newest)
            sql = LETTERS.format(candidates=candidates)
            found = connection.execute(sql, whose | known | {"reason": reason}).fetchall()
        return [dead_letter(cells) for cells in found]

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None:
        found = self._read(LETTER, tenant, id=id)
        return dead_letter(found[0]) if found else None

    def oldest_pending(self) -> datetime | None:
        ((millis,),) = self._read(OLDEST + " AND {ours}", now=to_millis(self._clock()))
        return None if millis is None else from_millis(millis)

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        with self._readers.lend() as connection:
            return _timed(self._minutes(connection, to_millis(since) // MINUTE_MILLIS, 1))

    def quarters(self, since: datetime) -> list[tuple[datetime, str, int]]:
        first = to_millis(since) // MINUTE_MILLIS // QUARTER
        with self._readers.lend() as connection:
            if self._seen is not None:
                return _timed(self._minutes(connection, first * QUARTER, QUARTER))
            (summed,) = connection.execute(SUMMED).fetchone()
            found = connection.execute(QUARTERS, (first,)).fetchall()
            return _timed([*found, *self._minutes(connection, max(first, summed) * QUARTER, QUARTER)])

    def _minutes(self, connection: Connection, since: int, step: int) -> Sequence[Any]:
        """Counters from a minute on, in steps of so many minutes."""
        now = to_millis(self._clock()) // MINUTE_MILLIS
        known = self._whose(connection, None) | {"since": since, "step": step}
        if "ids" not in known:
            return connection.execute(MINUTES, known).fetchall()
        known |= {"now": now, "since": max(since, (now - MINUTES_KEPT) // QUARTER * QUARTER)}
        return connection.execute(OUR_MINUTES, known).fetchall()

    def _read(self, sql: str, tenant: Tenant | None = None, **values: object) -> Sequence[Any]:
        """``{ours}`` in the statement becomes the condition that a row is one of those asked for."""
        with self._readers.lend() as connection:
            known = self._whose(connection, tenant)
            return connection.execute(sql.format(ours=_ours(known)), known | values).fetchall()

    def _whose(self, connection: Connection, tenant: Tenant | None) -> Known:
        """Ids of the tenants a question is about, as a value for its statement; empty if it is about all."""
        asked = paging.asked(self._seen, tenant)
        if asked is None:
            return {}
        return {"ids": json.dumps([id for (id,) in connection.execute(IDS, (json.dumps(asked),)).fetchall()])}


def _timed(found: Sequence[Any]) -> list[tuple[datetime, str, int]]:
    return [(from_millis(minute * MINUTE_MILLIS), event, count) for minute, event, count in found]


def _ours(known: Known) -> str:
    return OURS if "ids" in known else "true"


def _end(connection: Connection) -> int:
    (seq,) = connection.execute(listing.END).fetchone()
    return int(seq)
