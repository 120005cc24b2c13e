"""The Reports on SQLite; see ``store.Reports``. Reads only, on connections that cannot write.

No query's work grows with the number of done rows: totals come from counters, rows in other states from partial
indexes, and lists look at a bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from subscriber.model import State, Tenant, from_millis, to_millis
from subscriber.store import Clock, Counts, DeadLetterRow, Page, Row, RowFilter
from subscriber.store.sqlite.driver import Connection
from subscriber.store.sqlite.leasing import OLDEST
from subscriber.store.sqlite.readers import Readers
from subscriber.store.sqlite.rows import DEAD_LETTER, ROW, dead_letter, row
from subscriber.store.sqlite.transaction import MINUTE_MILLIS

# Rows one page looks at where no index answers the filter: some 10 ms.
SCAN_ROWS = 5000
LARGEST_PAGE = 1000
LARGEST_SEQ = 2**63 - 1
# Rows are in order of acceptance, and reception comes before it by as long as a delivery may take to arrive (30 s)
# and to be stored (5 s): rows a minute further down cannot be younger.
DISORDER = timedelta(minutes=1)

# Rows in these states are few beside the done ones, and each kind has an index of its own.
STATE_INDEXES = {State.PENDING: "inbox_pending", State.RUNNING: "inbox_running", State.DEAD: "inbox_dead"}

TENANT_ID = "(SELECT id FROM tenants WHERE platform = :platform AND name = :name)"
COUNTED = ("pending", "running", "done", "dead", "duplicates", "dead_letters")
COUNTS = """
    SELECT
        (SELECT count(*) FROM inbox WHERE state = 'pending' {tenant}),
        (SELECT count(*) FROM inbox INDEXED BY inbox_running WHERE state = 'running' {tenant}),
        (SELECT total(count) FROM totals WHERE event = 'done' {tenant}),
        (SELECT count(*) FROM inbox WHERE state = 'dead' {tenant}),
        (SELECT total(count) FROM totals WHERE event = 'duplicate' {tenant}),
        (SELECT count(*) FROM dead_letters WHERE 1 {tenant})
"""


class Window(NamedTuple):
    """The rows one page looks at: how many, the lowest seq among them and when that one was received."""

    scanned: int
    lowest_seq: int
    received_at: datetime


class SqliteReports:
    """``clock`` says what is due."""

    def __init__(self, readers: Readers, clock: Clock) -> None:
        self._readers = readers
        self._clock = clock

    def counts(self, tenant: Tenant | None = None) -> Counts:
        condition = "" if tenant is None else f"AND tenant_id = {TENANT_ID}"
        (cells,) = self._read(COUNTS.format(tenant=condition), _named(tenant))
        return Counts(**{name: int(cell) for name, cell in zip(COUNTED, cells, strict=True)})

    def rows(self, wanted: RowFilter, limit: int, before: int | None = None) -> Page:
        limit = min(limit, LARGEST_PAGE)
        known = _known(wanted, limit, LARGEST_SEQ if before is None else before)
        with self._readers.lend() as connection:
            found = [row(cells) for cells in connection.execute(_page_sql(wanted), known).fetchall()]
            if len(found) == limit:
                return Page(rows=found, next=found[-1].seq, scanned_to=found[-1].notification.received_at)
            return _short_page(found, _window(connection, wanted, known), wanted)

    def row(self, tenant: Tenant, key: bytes) -> Row | None:
        found = self._read(
            f"SELECT {ROW} FROM inbox JOIN tenants ON tenants.id = tenant_id "
            f"WHERE tenant_id = {TENANT_ID} AND key = :key",
            {**_named(tenant), "key": key},
        )
        return row(found[0]) if found else None

    def dead_letters(self, tenant: Tenant | None, limit: int, before: int | None = None) -> list[DeadLetterRow]:
        condition = "" if tenant is None else f"AND tenant_id = {TENANT_ID}"
        found = self._read(
            f"SELECT {DEAD_LETTER} FROM dead_letters JOIN tenants ON tenants.id = tenant_id "
            f"WHERE dead_letters.id < :before {condition} ORDER BY dead_letters.id DESC LIMIT :limit",
            {
                **_named(tenant),
                "before": LARGEST_SEQ if before is None else before,
                "limit": min(limit, LARGEST_PAGE),
            },
        )
        return [dead_letter(cells) for cells in found]

    def dead_letter(self, tenant: Tenant, id: int) -> DeadLetterRow | None:
        found = self._read(
            f"SELECT {DEAD_LETTER} FROM dead_letters JOIN tenants ON tenants.id = tenant_id "
            f"WHERE tenant_id = {TENANT_ID} AND dead_letters.id = :id",
            {**_named(tenant), "id": id},
        )
        return dead_letter(found[0]) if found else None

    def oldest_pending(self) -> datetime | None:
        ((millis,),) = self._read(OLDEST, {"now": to_millis(self._clock())})
        return None if millis is None else from_millis(millis)

    def minutes(self, since: datetime) -> list[tuple[datetime, str, int]]:
        found = self._read(
            "SELECT minute, event, sum(count) FROM minutes WHERE minute >= :since GROUP BY minute, event "
            "ORDER BY minute, event",
            {"since": to_millis(since) // MINUTE_MILLIS},
        )
        return [(from_millis(minute * MINUTE_MILLIS), event, count) for minute, event, count in found]

    def _read(self, sql: str, known: dict[str, Any]) -> Sequence[Any]:
        with self._readers.lend() as connection:
            return connection.execute(sql, known).fetchall()


def _named(tenant: Tenant | None) -> dict[str, Any]:
    return {} if tenant is None else tenant._asdict()


def _known(wanted: RowFilter, limit: int, before: int) -> dict[str, Any]:
    return {
        **_named(wanted.tenant),
        "topic": wanted.topic,
        "source": wanted.source,
        "state": wanted.state,
        "since": None if wanted.since is None else to_millis(wanted.since),
        "until": None if wanted.until is None else to_millis(wanted.until),
        "before": before,
        "limit": limit,
        "scan": SCAN_ROWS,
    }


# The rows of one source, from both halves of its index.
OF_SOURCE = " UNION ALL ".join(
    f"SELECT seq FROM inbox INDEXED BY {half} WHERE source <> '' AND state {is_pending} 'pending' "
    f"AND tenant_id = {TENANT_ID} AND source = :source AND seq < :before"
    for half, is_pending in (("inbox_source_new", "="), ("inbox_source_old", "<>"))
)


def _candidates(wanted: RowFilter) -> str:
    """The newest rows below ``before``, by the narrowest index there is for the filter."""
    conditions, index = ["seq < :before"], ""
    if wanted.tenant is not None:
        conditions.append(f"tenant_id = {TENANT_ID}")
    if wanted.tenant is not None and wanted.source:
        return f"SELECT seq FROM ({OF_SOURCE}) ORDER BY seq DESC LIMIT :scan"
    if wanted.state in STATE_INDEXES:
        conditions.append(f"state = '{wanted.state}'")
        index = f"INDEXED BY {STATE_INDEXES[wanted.state]}"
    return f"SELECT seq FROM inbox {index} WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT :scan"


def _page_sql(wanted: RowFilter) -> str:
    return f"""
        SELECT {ROW} FROM ({_candidates(wanted)}) AS candidates
        CROSS JOIN inbox ON inbox.seq = candidates.seq
        CROSS JOIN tenants ON tenants.id = inbox.tenant_id
        WHERE (:topic IS NULL OR topic = :topic) AND (:source IS NULL OR source = :source)
        AND (:state IS NULL OR inbox.state = :state)
        AND (:since IS NULL OR inbox.received_at >= :since) AND (:until IS NULL OR inbox.received_at < :until)
        ORDER BY candidates.seq DESC LIMIT :limit
    """


def _window(connection: Connection, wanted: RowFilter, known: dict[str, Any]) -> Window | None:
    """What the page looked at; None if that was nothing."""
    scanned, lowest_seq, received_at = connection.execute(
        "SELECT scanned, lowest, (SELECT received_at FROM inbox WHERE seq = lowest) "
        f"FROM (SELECT count(*) AS scanned, min(seq) AS lowest FROM ({_candidates(wanted)}))",
        known,
    ).fetchone()
    return None if scanned == 0 else Window(scanned, lowest_seq, from_millis(received_at))


def _short_page(found: list[Row], window: Window | None, wanted: RowFilter) -> Page:
    """A page that did not fill: the end, or the end of what one page looks at."""
    if window is None:
        return Page(rows=found, next=None, scanned_to=None)
    too_old = wanted.since is not None and window.received_at < wanted.since - DISORDER
    ended = window.scanned < SCAN_ROWS or too_old
    return Page(rows=found, next=None if ended else window.lowest_seq, scanned_to=window.received_at)
