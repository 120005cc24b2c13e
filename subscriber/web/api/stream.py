"""A tenant's notifications as they arrive: what one server-sent event stream says, and when it ends.

Follows "Server-sent events" of the HTML standard. Each event carries its place as ``id``, so a client that comes back
with ``Last-Event-ID`` goes on right behind the last one it has seen. In silence a comment is sent now and then, with
the place reached meanwhile: an ``id`` without data raises no event, and spares the next look what was looked at.
A stream ends before the platform's gateway would end it, and no later than the token it was opened with.
"""

from __future__ import annotations

import re

import orjson

from subscriber.store import Reports, RowFilter
from subscriber.web.api.items import item
from subscriber.web.api.places import Order, Seal

STREAM_SECONDS = 55.0  # design, section 3; gateways give up on an answer after 60
SILENCE_SECONDS = 10.0  # a client that left without a word is noticed within this time
RETRY_MILLIS = 1000  # how long a client waits before it comes back
FETCHED_ROWS = 10  # at once, since each may bring ten megabytes
OPENING = b": notifications as they arrive\nretry: %d\n\n" % RETRY_MILLIS
LINE_ENDS = re.compile(rb"\r\n|\r|\n")


class Stream:
    """One reader's stream. Times are seconds of one clock that never goes back; not safe for several threads.

    ``cursor`` is where it begins, ``reader`` the tenant it is for. ``opening`` is said first of all.
    """

    def __init__(
        self, reports: Reports, wanted: RowFilter, cursor: str, seal: Seal, reader: str, now: float, seconds: float
    ) -> None:
        self._reports = reports
        self._wanted = wanted
        self._cursor = cursor
        self._seal = seal
        self.reader = reader
        self.opening = OPENING
        self._spoke_at = now
        self.ends_at = now + min(seconds, STREAM_SECONDS)

    def begin(self) -> None:
        """Look for the first time, while a refusal can still be answered. Raises as ``Reports.after``."""
        self.opening = OPENING + self.news()[0]

    def news(self) -> tuple[bytes, bool]:
        """The next events, and whether there may be more at once. Raises as ``Reports.after``."""
        tail = self._reports.after(self._wanted, self._cursor, FETCHED_ROWS)
        self._cursor = tail.cursor
        said = b"".join(
            event(self._place(cursor), orjson.dumps(item(row)))
            for row, cursor in zip(tail.rows, tail.behind, strict=True)
        )
        return said, tail.more

    def sign_of_life(self) -> bytes:
        """What is said when nothing happens."""
        return f": still here\nid: {self._place(self._cursor)}\n\n".encode()

    def silent(self, now: float, said: bytes) -> bool:
        """Is it time for a sign of life? ``said`` is what is being said now."""
        if said:
            self._spoke_at = now
        silent = now - self._spoke_at >= SILENCE_SECONDS
        if silent:
            self._spoke_at = now
        return silent

    def _place(self, cursor: str) -> str:
        return self._seal.sealed(cursor, Order.ARRIVAL, self.reader)


def event(place: str, document: bytes) -> bytes:
    """One event. A line end in the document, between its values, becomes another ``data`` line and comes back."""
    data = b"\n".join(b"data: " + line for line in LINE_ENDS.split(document))
    return b"event: notification\nid: " + place.encode() + b"\n" + data + b"\n\n"
