"""The Reports on PostgreSQL; see ``store.Reports``. Reads only.

No query's work grows with the number of done rows: totals come from counters, rows in other states from partial
indexes, and lists look at a bounded number of rows. Who may see some tenants only asks through the ``reader`` pool,
where the database itself hides every other row, whatever a statement says.

Rows arrive in the order of (xid, seq): the transaction that brought them, then their number. A transaction that still
runs may bring rows before those of a later one that has ended, so readers of arrivals stop at the ``horizon``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from subscriber.errors import InvalidCursor
from subscriber.model import Tenant, from_millis, to_millis
from subscriber.store import ByReason, Counts, DeadFilter, DeadLetterRow, Page, Row, RowFilter, Tail, cursors, paging
from subscriber.store.cells import DEAD_LETTER, ROW, dead_letter, row
from subscriber.store.paging import MINUTE_MILLIS, MINUTES_KEPT, QUARTER
from subscriber.store.postgres import listing
from subscriber.store.postgres.database import NOW, Database
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.leasing import PENDING_LANES, SINCE_OF_PARKED
from subscriber.store.postgres.listing import OURS, Known, Place

IDS = """
    SELECT id FROM tenants WHERE (platform, name) IN (
        SELECT * FROM unnest(%(platforms)s::text[], %(names)s::text[]))
"""
COUNTED = ("pending", "running", "done", "dead", "duplicates", "dead_letters")
COUNTS = """
    SELECT
        (SELECT count(*) FROM inbox WHERE state = 'pending' AND {ours}),
        (SELECT count(*) FROM inbox WHERE state = 'running' AND {ours}),
        (SELECT coalesce(sum(count), 0) FROM totals WHERE event = 'done' AND {ours}),
        (SELECT count(*) FROM inbox WHERE state = 'dead' AND {ours}),
        (SELECT coalesce(sum(count), 0) FROM totals WHERE event = 'duplicate' AND {ours}),
        (SELECT count(*) FROM dead_letters WHERE {ours})
"""
MINUTES = (
    "SELECT minute / %(step)s * %(step)s, event, sum(count)::bigint FROM minutes WHERE minute >= %(since)s "
    "GROUP BY 1, 2 ORDER BY 1, 2"
)
# Minute by minute: between two of a tenant's counters lie those of all others.
OUR_MINUTES = f"""
    SELECT each.minute / %(step)s * %(step)s, event, sum(count)::bigint
    FROM generate_series(
        greatest(%(since)s::bigint, ({NOW} / {MINUTE_MILLIS} - {MINUTES_KEPT}) / {QUARTER} * {QUARTER}),
        {NOW} / {MINUTE_MILLIS}) AS each (minute)
    CROSS JOIN unnest(%(ids)s::bigint[]) AS own (id)
    CROSS JOIN LATERAL (
        SELECT event, count FROM minutes WHERE minutes.minute = each.minute AND minutes.tenant_id = own.id) AS counted
    GROUP BY 1, 2 ORDER BY 1, 2
"""
SUMMED = "SELECT coalesce(max(quarter) + 1, 0) FROM quarters"
QUARTERS = f"SELECT quarter * {QUARTER}, event, count FROM quarters WHERE quarter >= %s AND event <> '' ORDER BY 1, 2"
ONE = f"SELECT {ROW} FROM inbox JOIN tenants ON tenants.id = tenant_id WHERE {OURS} AND key = %(key)s"
LETTER = (
    f"SELECT {DEAD_LETTER} FROM dead_letters JOIN tenants ON tenants.id = tenant_id "
    f"WHERE dead_letters.id = %(id)s AND {OURS}"
)
SELECT_LETTERS = f"""
    WITH candidates AS MATERIALIZED ({{candidates}} ORDER BY id DESC LIMIT %(limit)s)
    SELECT {DEAD_LETTER} FROM candidates JOIN dead_letters USING (id) JOIN tenants ON tenants.id = tenant_id
    ORDER BY dead_letters.id DESC
"""
ALL_NEWEST = "SELECT id FROM dead_letters WHERE id < %(before)s"
OUR_NEWEST = (
    "SELECT theirs.id FROM unnest(%(ids)s::bigint[]) AS own (tenant_id) CROSS JOIN LATERAL ("
    "SELECT id FROM dead_letters WHERE tenant_id = own.tenant_id AND id < %(before)s ORDER BY id DESC LIMIT %(scan)s"
    ") AS theirs"
)
# Of those with one reason among the newest.
WITH_REASON = (
    "SELECT newest.id FROM ({newest} ORDER BY id DESC LIMIT %(scan)s) AS newest "
    "JOIN dead_letters AS one ON one.id = newest.id WHERE one.reason = %(reason)s"
)
# How many were looked at, then the groups. Dead rows of all are found by when they died, a tenant's among its own.
BY_REASON = """
    WITH candidates (reason, at) AS MATERIALIZED ({candidates} LIMIT %(scan)s)
    SELECT count(*)::text AS name, NULL::bigint AS count, NULL::bigint AS first, NULL::bigint AS last FROM candidates
    UNION ALL (
        SELECT reason, count(*), min(at), max(at) FROM candidates
        WHERE (%(reason)s::text IS NULL OR reason = %(reason)s) AND at >= %(since)s AND at < %(until)s
        GROUP BY reason ORDER BY 2 DESC, reason LIMIT %(groups)s)
"""
ALL_DEAD = (
    "SELECT reason, settled_at FROM inbox "
    "WHERE state = 'dead' AND settled_at >= %(since)s AND settled_at < %(until)s ORDER BY settled_at DESC"
)
OUR_DEAD = f"SELECT reason, settled_at FROM inbox WHERE state = 'dead' AND {OURS}"
DEAD_LETTERS = "SELECT reason, last_at FROM dead_letters WHERE {ours} ORDER BY id DESC"
OLDEST = f"""
    WITH RECURSIVE {PENDING_LANES}
    SELECT min(since) FROM (
        SELECT tenant_id, not_before AS since FROM lanes
        UNION ALL
        SELECT tenant_id, {SINCE_OF_PARKED} FROM lanes
    ) AS waiting WHERE since <= {NOW} AND {{ours}}
"""


class PostgresReports:
    """``seen``: the tenants these reports are limited to, None for all."""

    def __init__(self, database: Database, seen: Sequence[Tenant] | None = None) -> None:
        self._database = database
        self._seen = seen

    def within(self, tenants: Sequence[Tenant]) -> PostgresReports:
        return PostgresReports(self._database, paging.narrowed(self._seen, tenants))

    def counts(self, tenant: Tenant | None = None) -> Counts:
        (cells,) = self._read(COUNTS, tenant)
        return Counts(**{name: int(cell) for name, cell in zip(COUNTED, cells, strict=True)})

    def rows(self, wanted: RowFilter, limit: int, before: int | None = None) -> Page:
        limit = paging.bounded(limit)
        with self._asking(wanted.tenant) as (connection, whose):
            known = whose | listing.known(wanted, limit)
            known["before"] = paging.LARGEST_SEQ if before is None else before
            known |= listing.look_up(connection, wanted, known)
            cells = connection.execute(listing.newest(wanted, known), known).fetchall()
            return paging.page(
                list(map(row, cells)), limit, wanted, partial(listing.window, connection, wanted, known)
            )

    def end(self) -> str:
        """While somebody still brings rows, what later transactions have committed lies behind this cursor too."""
        with self._database.service() as connection:
            return cursors.written(listing.end(connection))

    def after(self, wanted: RowFilter, cursor: str, limit: int) -> Tail:
        limit = paging.bounded(limit)
        behind = Place(*cursors.read(cursor, 2))
        last = self._look_ahead(behind)
        with self._asking(wanted.tenant) as (connection, whose):
            known = whose | listing.known(wanted, limit) | behind._asdict()
            known |= {"last_xid": last.xid, "last_seq": last.seq}
            found = connection.execute(listing.arrived(wanted, known), known).fetchall()
        rows = [row(cells) for _, *cells in found]
        places = [Place(cells[0], one.seq) for cells, one in zip(found, rows, strict=True)]
        full = len(rows) == limit
        cursor = cursors.written(places[-1] if full else max(behind, last))
        # A look that came to the end stops before every row of the transactions still to come.
        return Tail(rows, cursor, [cursors.written(one) for one in places], more=full or last.seq > 0)

    def row(self, tenant: Tenant, key: bytes) -> Row | None:
        found = self._read(ONE, tenant, key=key)
        return row(found[0]) if found else None

    def dead_by_reason(self, wanted: DeadFilter) -> ByReason:
        with self._asking(wanted.tenant) as (connection, whose):
            sql = BY_REASON.format(candidates=OUR_DEAD if whose else ALL_DEAD)
            return _by_reason(connection.execute(sql, whose | paging.died(wanted)).fetchall())

    def letters_by_reason(self, tenant: Tenant | None = None) -> ByReason:
        with self._asking(tenant) as (connection, whose):
            sql = BY_REASON.format(candidates=DEAD_LETTERS.format(ours=OURS if whose else "true"))
            return _by_reason(connection.execute(sql, whose | paging.died(DeadFilter())).fetchall())

    def dead_letters(
        self, tenant: Tenant | None, limit: int, before: int | None = None, reason: str | None = None
    ) -> list[DeadLetterRow]:
        known = {"before": paging.LARGEST_SEQ if before is None else before, "limit": paging.bounded(limit)}
        known["scan"] = known["limit"] if reason is None else paging.GROUPED_ROWS
        with self._asking(tenant) as (connection, whose):
            newest = OUR_NEWEST if whose else ALL_NEWEST
            candidates = newest if reason is None else WITH_REASON.format(newest=newest)
            sql = SELECT_LETTERS.format(candidates=candidates)
            found = connection.execute(sql, whose | known | {"reason": reason}).fetchall()
        return [dead_letter(cells) for cells in found]

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None:
        found = self._read(LETTER, tenant, id=id)
        return dead_letter(found[0]) if found else None

    def oldest_pending(self) -> datetime | None:
        ((millis,),) = self._read(OLDEST, now=self._database.told_millis())
        return None if millis is None else from_millis(millis)

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        with self._asking(None) as (connection, whose):
            return _timed(self._minutes(connection, whose, to_millis(since) // MINUTE_MILLIS, 1))

    def quarters(self, since: datetime) -> list[tuple[datetime, str, int]]:
        first = to_millis(since) // MINUTE_MILLIS // QUARTER
        with self._asking(None) as (connection, whose):
            if whose:
                return _timed(self._minutes(connection, whose, first * QUARTER, QUARTER))
            ((summed,),) = connection.execute(SUMMED).fetchall()
            found = connection.execute(QUARTERS, (first,)).fetchall()
            return _timed([*found, *self._minutes(connection, whose, max(first, summed) * QUARTER, QUARTER)])

    def _minutes(self, connection: Connection, whose: Known, since: int, step: int) -> Sequence[Any]:
        """Counters from a minute on, in steps of so many minutes."""
        known = {**whose, "since": since, "step": step, "now": self._database.told_millis()}
        return connection.execute(OUR_MINUTES if whose else MINUTES, known).fetchall()

    def _look_ahead(self, behind: Place) -> Place:
        """How far one look goes, by all tenants' rows: one's own say nothing of how many others lie between."""
        with self._database.service() as connection:
            if behind.xid > listing.newest_xid(connection):
                raise InvalidCursor("the cursor is of another database")
            return listing.look_ahead(connection, behind)

    def _read(self, sql: str, tenant: Tenant | None = None, **values: object) -> Sequence[Any]:
        """``{ours}`` in the statement becomes the condition that a row is one of those asked for."""
        with self._asking(tenant) as (connection, whose):
            return connection.execute(sql.format(ours=OURS if whose else "true"), whose | values).fetchall()

    @contextmanager
    def _asking(self, tenant: Tenant | None) -> Iterator[tuple[Connection, Known]]:
        """A connection that sees what may be seen, and ``ids`` of the tenants in question; without them it is all."""
        asked = paging.asked(self._seen, tenant)
        with self._database.service() as connection:
            ids = None if asked is None else _ids(connection, asked)
            if self._seen is None:
                yield connection, {} if ids is None else {"ids": ids}
                return
        with self._database.reader(ids or []) as connection:
            yield connection, {"ids": ids}


def _ids(connection: Connection, tenants: Sequence[Tenant]) -> list[int]:
    values = {"platforms": [tenant.platform for tenant in tenants], "names": [tenant.name for tenant in tenants]}
    return [id for (id,) in connection.execute(IDS, values).fetchall()]


def _timed(found: Sequence[Any]) -> list[tuple[datetime, str, int]]:
    return [(from_millis(minute * MINUTE_MILLIS), event, count) for minute, event, count in found]


def _by_reason(rows: Sequence[Any]) -> ByReason:
    """The first row's number is text here, as reasons are."""
    (looked_at, *_), *groups = rows
    return paging.by_reason([(int(looked_at),), *groups])
