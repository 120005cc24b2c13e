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
from subscriber.store import Counts, DeadLetterRow, Page, Row, RowFilter, Tail, cursors, paging
from subscriber.store.cells import DEAD_LETTER, ROW, dead_letter, row
from subscriber.store.postgres import listing
from subscriber.store.postgres.counters import MINUTE_MILLIS
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
    "SELECT minute, event, sum(count)::bigint FROM minutes WHERE minute >= %(since)s AND {ours} "
    "GROUP BY minute, event ORDER BY minute, event"
)
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
LETTERS = SELECT_LETTERS.format(candidates="SELECT id FROM dead_letters WHERE id < %(before)s")
OUR_LETTERS = SELECT_LETTERS.format(
    candidates="SELECT theirs.id FROM unnest(%(ids)s::bigint[]) AS own (tenant_id) CROSS JOIN LATERAL ("
    "SELECT id FROM dead_letters WHERE tenant_id = own.tenant_id AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s"
    ") AS theirs"
)
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
        place = Place(found[-1][0], rows[-1].seq) if len(rows) == limit else max(behind, last)
        return Tail(rows, cursors.written(place))

    def row(self, tenant: Tenant, key: bytes) -> Row | None:
        found = self._read(ONE, tenant, key=key)
        return row(found[0]) if found else None

    def dead_letters(self, tenant: Tenant | None, limit: int, before: int | None = None) -> list[DeadLetterRow]:
        known = {"before": paging.LARGEST_SEQ if before is None else before, "limit": paging.bounded(limit)}
        with self._asking(tenant) as (connection, whose):
            found = connection.execute(OUR_LETTERS if whose else LETTERS, whose | known).fetchall()
        return [dead_letter(cells) for cells in found]

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None:
        found = self._read(LETTER, tenant, id=id)
        return dead_letter(found[0]) if found else None

    def oldest_pending(self) -> datetime | None:
        ((millis,),) = self._read(OLDEST, now=self._database.told_millis())
        return None if millis is None else from_millis(millis)

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        found = self._read(MINUTES, since=to_millis(since) // MINUTE_MILLIS)
        return [(from_millis(minute * MINUTE_MILLIS), event, count) for minute, event, count in found]

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
