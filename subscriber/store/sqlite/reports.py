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
from subscriber.store import Clock, Counts, DeadLetterRow, Page, Row, RowFilter, Tail, cursors, paging
from subscriber.store.cells import DEAD_LETTER, ROW, dead_letter, row
from subscriber.store.sqlite import listing
from subscriber.store.sqlite.driver import Connection
from subscriber.store.sqlite.leasing import OLDEST
from subscriber.store.sqlite.listing import OURS, Known
from subscriber.store.sqlite.readers import Readers
from subscriber.store.sqlite.transaction import MINUTE_MILLIS

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
    "SELECT minute, event, sum(count) FROM minutes WHERE minute >= :since AND {ours} GROUP BY minute, event "
    "ORDER BY minute, event"
)
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
ALL_LETTERS = LETTERS.format(candidates="SELECT id FROM dead_letters WHERE id < :before")
OUR_LETTERS = LETTERS.format(
    candidates="SELECT theirs.id AS id FROM json_each(:ids) AS own "
    "CROSS JOIN dead_letters AS theirs ON theirs.id IN (SELECT id FROM dead_letters "
    "WHERE tenant_id = own.value AND id < :before ORDER BY id DESC LIMIT :limit)"
)


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
            seq = found[-1].seq if len(found) == limit else listing.looked_up_to(connection, known)
        return Tail(found, cursors.written([seq]))

    def row(self, tenant: Tenant, key: bytes) -> Row | None:
        found = self._read(ONE, tenant, key=key)
        return row(found[0]) if found else None

    def dead_letters(self, tenant: Tenant | None, limit: int, before: int | None = None) -> list[DeadLetterRow]:
        known = {"before": paging.LARGEST_SEQ if before is None else before, "limit": paging.bounded(limit)}
        with self._readers.lend() as connection:
            whose = self._whose(connection, tenant)
            found = connection.execute(OUR_LETTERS if whose else ALL_LETTERS, whose | known).fetchall()
        return [dead_letter(cells) for cells in found]

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None:
        found = self._read(LETTER, tenant, id=id)
        return dead_letter(found[0]) if found else None

    def oldest_pending(self) -> datetime | None:
        ((millis,),) = self._read(OLDEST + " AND {ours}", now=to_millis(self._clock()))
        return None if millis is None else from_millis(millis)

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        found = self._read(MINUTES, since=to_millis(since) // MINUTE_MILLIS)
        return [(from_millis(minute * MINUTE_MILLIS), event, count) for minute, event, count in found]

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


def _ours(known: Known) -> str:
    return OURS if "ids" in known else "true"


def _end(connection: Connection) -> int:
    (seq,) = connection.execute(listing.END).fetchone()
    return int(seq)
