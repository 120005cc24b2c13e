"""Statements of the two lists of inbox rows: newest first, and in order of arrival. See ``store.Reports``.

A list looks at a bounded number of rows, found by the narrowest index there is for its filter; each tenant asked
for is looked up on its own, so that no list walks through the rows of others.
"""

from __future__ import annotations

import json
from typing import Any

from subscriber.model import State, from_millis, to_millis
from subscriber.store import RowFilter, paging
from subscriber.store.cells import ROW
from subscriber.store.paging import Window
from subscriber.store.sqlite.driver import Connection

Known = dict[str, Any]  # values of a statement by their names; "ids" is there when it is about some tenants only

OURS = "tenant_id IN (SELECT value FROM json_each(:ids))"
# Filters with an index of their own, by which all their rows are found, in no order. Pending and running rows are
# few beside the done ones, and so are most sources'.
STATE_INDEXES = {State.PENDING: "inbox_pending", State.RUNNING: "inbox_running"}
OF_STATE = "SELECT seq FROM inbox INDEXED BY {index} WHERE state = '{state}' AND {ours} LIMIT :scan + 1"
OF_SOURCE = " UNION ALL ".join(
    f"SELECT seq FROM (SELECT seq FROM inbox INDEXED BY {half} WHERE source <> '' AND state {is_pending} 'pending' "
    f"AND {OURS} AND source = :source LIMIT :scan + 1)"
    for half, is_pending in (("inbox_source_new", "="), ("inbox_source_old", "<>"))
)
NEWEST = "ORDER BY seq DESC LIMIT :scan"
IN_ORDER = "ORDER BY seq LIMIT :scan"
FILTER = """
    (:platform IS NULL OR tenants.platform = :platform)
    AND (:topic IS NULL OR topic = :topic) AND (:source IS NULL OR source = :source)
    AND (:state IS NULL OR inbox.state = :state) AND (:reason IS NULL OR reason = :reason)
    AND (:since IS NULL OR inbox.received_at >= :since) AND (:until IS NULL OR inbox.received_at < :until)
"""
# The last number given, also to a row that is gone by now. One writes at a time: smaller ones are committed.
END = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0)"


def known(wanted: RowFilter, limit: int) -> Known:
    """Values of a statement: the filter's and the bounds."""
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
    return {} if seqs is None or len(seqs) > paging.SCAN_ROWS else {"seqs": json.dumps(seqs)}


def newest(wanted: RowFilter, values: Known) -> str:
    """Rows below ``:before``."""
    return _list(_newest_seqs(wanted, values), "DESC")


def arrived(values: Known) -> str:
    """Rows above ``:behind`` and up to ``:end``."""
    return _list(_arrived_seqs(values), "ASC")


def window(connection: Connection, wanted: RowFilter, values: Known) -> Window | None:
    """What a page of the newest looked at; None if that was nothing."""
    scanned, lowest_seq, received_at = connection.execute(
        "SELECT scanned, lowest, (SELECT received_at FROM inbox WHERE seq = lowest) FROM ("
        f"SELECT count(*) AS scanned, min(seq) AS lowest FROM ({_newest_seqs(wanted, values)}))",
        values,
    ).fetchone()
    return None if scanned == 0 else Window(scanned, lowest_seq, from_millis(received_at))


def looked_up_to(connection: Connection, values: Known) -> tuple[int, bool]:
    """The seq up to which a look at what arrived has seen everything, and whether it ended there by its bound."""
    scanned, highest = connection.execute(
        f"SELECT count(*), max(seq) FROM ({_arrived_seqs(values)})", values
    ).fetchone()
    bounded = scanned >= values["scan"]
    return int(highest if bounded else values["end"]), bounded


def _list(seqs: str, direction: str) -> str:
    return f"""
        SELECT {ROW} FROM ({seqs}) AS candidates
        CROSS JOIN inbox ON inbox.seq = candidates.seq
        CROSS JOIN tenants ON tenants.id = inbox.tenant_id
        WHERE {FILTER} ORDER BY candidates.seq {direction} LIMIT :limit
    """


def _all_of(wanted: RowFilter, whose: bool) -> str | None:
    if whose and wanted.source:
        return OF_SOURCE
    if wanted.state in STATE_INDEXES:
        ours = OURS if whose else "true"
        return OF_STATE.format(index=STATE_INDEXES[wanted.state], state=wanted.state, ours=ours)
    return None


def _newest_seqs(wanted: RowFilter, values: Known) -> str:
    if "seqs" in values:
        return f"SELECT value AS seq FROM json_each(:seqs) WHERE seq < :before {NEWEST}"
    if wanted.state is State.DEAD:
        return _of_each("seq < :before AND state = 'dead'", "INDEXED BY inbox_dead", NEWEST, values)
    if "ids" not in values:
        return f"SELECT seq FROM inbox WHERE seq < :before {NEWEST}"
    return _of_each("seq < :before", "", NEWEST, values)


def _arrived_seqs(values: Known) -> str:
    condition = "seq > :behind AND seq <= :end"
    if "ids" not in values:
        return f"SELECT seq FROM inbox WHERE {condition} {IN_ORDER}"
    return _of_each(condition, "", IN_ORDER, values)


def _of_each(condition: str, index: str, order: str, values: Known) -> str:
    """The first of each tenant, then the first of those. Nothing is read of a tenant but what its list may need."""
    own = "json_each(:ids)" if "ids" in values else "(SELECT id AS value FROM tenants)"
    return f"""
        SELECT seq FROM {own} AS own CROSS JOIN inbox AS theirs ON theirs.seq IN (
            SELECT seq FROM inbox {index} WHERE tenant_id = own.value AND {condition} {order})
        {order}
    """
