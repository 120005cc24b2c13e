"""Statements of the two lists of inbox rows: newest first, and in order of arrival. See ``store.Reports``.

A list looks at a bounded number of rows. The planner is not trusted to see to it: what a list looks at is found
first, by an index that gives it in order, and only then are rows filtered.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from subscriber.model import State, from_millis, to_millis
from subscriber.store import RowFilter, paging
from subscriber.store.cells import ROW
from subscriber.store.paging import Window
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.horizon import horizon

Known = dict[str, Any]  # values of a statement by their names; "ids" is there when it is about some tenants only

OURS = "tenant_id = ANY (%(ids)s)"
# Filters with an index of their own, by which all their rows are found, in no order. Pending and running rows are
# few beside the done ones, and so are most sources'.
FOUND_BY_STATE = frozenset((State.PENDING, State.RUNNING))
HALVES = ("state IN ('pending', 'running')", "state IN ('done', 'dead')")
OF_SOURCE = " UNION ALL ".join(
    f"(SELECT seq FROM inbox WHERE {OURS} AND source = %(source)s AND source <> '' AND {half} LIMIT %(scan)s + 1)"
    for half in HALVES
)
# Row by row in the order of what was found, so that looking ends with the last row wanted. A bound on what can only
# be one row keeps the planner from reading the whole table instead.
EACH = """
    CROSS JOIN LATERAL (SELECT * FROM inbox WHERE inbox.seq = candidates.seq LIMIT 1) AS inbox
    CROSS JOIN LATERAL (SELECT * FROM tenants WHERE tenants.id = inbox.tenant_id LIMIT 1) AS tenants
"""
NEWEST = "ORDER BY seq DESC LIMIT %(scan)s"

POSITION = "(xid, seq) > (%(xid)s::text::xid8, %(seq)s)"
BELOW = "xid < %(horizon)s::text::xid8"
LAST_LOOKED_AT = f"""
    SELECT xid::text::bigint, seq FROM inbox WHERE {POSITION} AND {BELOW}
    ORDER BY xid, seq OFFSET %(scan)s - 1 LIMIT 1
"""


class Place(NamedTuple):
    """A place in the order of arrival, behind the row with these numbers or where it would be."""

    xid: int
    seq: int


def known(wanted: RowFilter, limit: int) -> Known:
    """The filter's values and the bounds."""
    return {
        "platform": wanted.platform,
        "topic": wanted.topic,
        "source": wanted.source,
        "state": wanted.state,
        "reason": wanted.reason,
        "since": None if wanted.since is None else to_millis(wanted.since),
        "until": None if wanted.until is None else to_millis(wanted.until),
        "limit": limit,
        "scan": paging.SCAN_ROWS,
    }


def look_up(connection: Connection, wanted: RowFilter, values: Known) -> Known:
    """All rows of a filter with an index of its own, as ``seqs``; nothing if there is none, or they are too many."""
    sql = _all_of(wanted, "ids" in values)
    seqs = [seq for (seq,) in connection.execute(sql, values).fetchall()] if sql else None
    return {} if seqs is None or len(seqs) > paging.SCAN_ROWS else {"seqs": seqs}


def newest(wanted: RowFilter, values: Known) -> str:
    """Rows below ``before``."""
    return f"""
        SELECT {ROW} FROM ({_newest_seqs(wanted, values)}) AS candidates {EACH}
        WHERE {_filter(wanted)} ORDER BY candidates.seq DESC LIMIT %(limit)s
    """


def window(connection: Connection, wanted: RowFilter, values: Known) -> Window | None:
    """What a page of the newest looked at; None if that was nothing."""
    ((scanned, lowest_seq, received_at),) = connection.execute(
        f"WITH candidates AS MATERIALIZED ({_newest_seqs(wanted, values)}) "
        "SELECT count(*), min(seq), (SELECT received_at FROM inbox WHERE seq = (SELECT min(seq) FROM candidates)) "
        "FROM candidates",
        values,
    ).fetchall()
    return None if scanned == 0 else Window(scanned, lowest_seq, from_millis(received_at))


def end(connection: Connection) -> Place:
    """Where rows may still come in between: nothing from here on is told yet."""
    return Place(int(horizon(connection)), 0)


def newest_xid(connection: Connection) -> int:
    """The number the next transaction will get."""
    ((number,),) = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchall()
    return int(number)


def look_ahead(connection: Connection, behind: Place) -> Place:
    """How far one look goes from a place: so many rows, or to the end.

    Whoever may see some tenants only is told where to stop as well: that says nothing of what is there.
    """
    last = end(connection)
    values = {**behind._asdict(), "horizon": last.xid, "scan": paging.SCAN_ROWS}
    row = connection.execute(LAST_LOOKED_AT, values).fetchone()
    return last if row is None else Place(*row)


def arrived(wanted: RowFilter, values: Known) -> str:
    """Rows behind ``xid`` and ``seq``, up to ``last_xid`` and ``last_seq``; ahead of each its xid."""
    return f"""
        SELECT inbox.xid::text::bigint, {ROW} FROM (
            SELECT xid, seq FROM inbox WHERE {POSITION} AND (xid, seq) <= (%(last_xid)s::text::xid8, %(last_seq)s)
            ORDER BY xid, seq LIMIT %(scan)s) AS candidates {EACH}
        WHERE {_filter(wanted)} {"AND " + OURS if "ids" in values else ""}
        ORDER BY candidates.xid, candidates.seq LIMIT %(limit)s
    """


def _all_of(wanted: RowFilter, whose: bool) -> str | None:
    if whose and wanted.source:
        return OF_SOURCE
    if wanted.state in FOUND_BY_STATE:
        return f"SELECT seq FROM inbox WHERE state = %(state)s {'AND ' + OURS if whose else ''} LIMIT %(scan)s + 1"
    return None


def _newest_seqs(wanted: RowFilter, values: Known) -> str:
    if "seqs" in values:
        return f"SELECT seq FROM unnest(%(seqs)s::bigint[]) AS seq WHERE seq < %(before)s {NEWEST}"
    condition = "seq < %(before)s" + (" AND state = 'dead'" if wanted.state is State.DEAD else "")
    if "ids" not in values and wanted.state is not State.DEAD:
        return f"SELECT seq FROM inbox WHERE {condition} {NEWEST}"
    own = "unnest(%(ids)s::bigint[]) AS own (id)" if "ids" in values else "tenants AS own"
    return f"""
        SELECT seq FROM {own}
        CROSS JOIN LATERAL (SELECT seq FROM inbox WHERE tenant_id = own.id AND {condition} {NEWEST}) AS theirs
        {NEWEST}
    """


def _filter(wanted: RowFilter) -> str:
    conditions = {
        "tenants.platform = %(platform)s": wanted.platform,
        "topic = %(topic)s": wanted.topic,
        "source = %(source)s": wanted.source,
        "inbox.state = %(state)s": wanted.state,
        "reason = %(reason)s": wanted.reason,
        "inbox.received_at >= %(since)s": wanted.since,
        "inbox.received_at < %(until)s": wanted.until,
    }
    return " AND ".join(["true", *(condition for condition, value in conditions.items() if value is not None)])
