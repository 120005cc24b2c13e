"""One page of a tenant's notifications, newest first or in order of arrival.

A page is bounded three ways: by its limit, by the bytes of its payloads, and by how many rows the store looks at
where no index answers the filter. So it may be short, even empty, and still have a next one; it says how far back it
has looked. Rows are fetched a few at a time, since each may bring ten megabytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from subscriber.errors import InvalidCursor
from subscriber.store import Reports, Row, RowFilter
from subscriber.web.api.items import NOTIFICATION, item, moment, schema, size
from subscriber.web.api.places import Order, Seal

FIRST_ROWS = 10  # fetched at once, before anything is known of their size
MOST_ROWS = 50  # fetched at once after small ones: each fetch costs a look at thousands of rows' places
# A look ends after some thousand rows, also of others, and a page that ended there would say so. Still quick.
MOST_LOOKS = 40
PAGE_BYTES = 4 * 1024 * 1024  # a page ends with the fetch that exceeds this

Json = dict[str, Any]


class Question(NamedTuple):
    """What is asked for, and by whom. ``place`` is sealed, empty at the start."""

    reports: Reports  # that see what the reader may see
    reader: str  # the tenant asking
    wanted: RowFilter
    place: str
    limit: int


def newest(question: Question, seal: Seal) -> Json:
    """Newest first. ``resume`` is only on the first page: whatever comes after it was read lies behind that."""
    reports, place = question.reports, question.place
    before = _before(seal.opened(place, Order.NEWEST, question.reader)) if place else None
    resume = None if place else seal.sealed(reports.end(), Order.ARRIVAL, question.reader)
    rows: list[Row] = []
    while True:
        wanted = _wanted(rows, question.limit)
        page = reports.rows(question.wanted, wanted, before)
        rows += page.rows
        before = page.next
        if before is None or len(page.rows) < wanted or _full(rows, question.limit):
            break
    return {
        "items": list(map(item, rows)),
        "next": None if before is None else seal.sealed(str(before), Order.NEWEST, question.reader),
        "searched_to": None if page.scanned_to is None else moment(page.scanned_to),
        "resume": resume,
    }


def arrived(question: Question, seal: Seal) -> Json:
    """In order of arrival. ``next`` is null when nothing more is there now, ``resume`` goes on later."""
    cursor = seal.opened(question.place, Order.ARRIVAL, question.reader) if question.place else ""
    rows: list[Row] = []
    for _ in range(MOST_LOOKS):
        wanted = _wanted(rows, question.limit)
        tail = question.reports.after(question.wanted, cursor, wanted)
        rows += tail.rows
        cursor = tail.cursor
        if not tail.more or _full(rows, question.limit):
            break
    place = seal.sealed(cursor, Order.ARRIVAL, question.reader)
    return {
        "items": list(map(item, rows)),
        "next": place if tail.more else None,
        "searched_to": None,
        "resume": place,
    }


def _before(cursor: str) -> int:
    if not cursor.isdecimal():
        raise InvalidCursor("this is no cursor of this list")
    return int(cursor)


def _wanted(rows: list[Row], limit: int) -> int:
    """How many rows to fetch next: as many as would fit if none is larger than those before."""
    largest = max(map(size, rows), default=PAGE_BYTES)
    fitting = (PAGE_BYTES - sum(map(size, rows))) // max(1, largest)
    return min(max(FIRST_ROWS, min(MOST_ROWS, fitting)), limit - len(rows))


def _full(rows: list[Row], limit: int) -> bool:
    return len(rows) >= limit or sum(map(size, rows)) >= PAGE_BYTES


PAGE = schema(
    {
        "items": {"type": "array", "items": NOTIFICATION},
        "next": {"type": ["string", "null"], "description": "cursor of the next page; null if there is none now"},
        "searched_to": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "newest first: everything received since then was looked at; null if nothing was",
        },
        "resume": {
            "type": ["string", "null"],
            "description": "cursor behind all there is now: for the order of arrival, or as Last-Event-ID of the "
            "stream; null on later pages of the newest",
        },
    }
)
