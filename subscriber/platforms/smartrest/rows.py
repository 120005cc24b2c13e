"""What a template's row means as a notification. One row is one notification, also where two templates made two rows
of the same fact.

The platform gives its notifications no id, and the same fact looks the same twice. So a row is known by the columns
that its template names as its key, typically the object's id with its status, change time or action: equal key again
is a duplicate, and if the rest differs it is kept as a conflict, as with every id. A row whose key has an empty
column, or without a key, is known by its number in this session's own count: it is never taken for another one, and
what the server sends twice is stored twice.

The body is JSON made of the row: ``xId``, ``row`` (the template's id and all values as sent, without a line number)
and ``values`` (the same by the names of the columns; empty where no template is configured).

The line number behind the id, which the documents disagree about, is told by the number of values where the template
is configured, else by the form of the advice that the session has seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import orjson

from subscriber.errors import MalformedDelivery
from subscriber.model import SMARTREST, DeadLetter, Identity, Notification, Tenant
from subscriber.platforms.content import NO_TIME, content_digest, id_digest, moment, short_name, time_bytes
from subscriber.platforms.smartrest import records
from subscriber.platforms.smartrest.messages import Row
from subscriber.platforms.smartrest.realtime import Realtime, Template
from subscriber.platforms.smartrest.records import Broken, Record

COUNT_BYTES = 8
UNCONFIGURED = Template(x_id="", id="", columns=())


class Batch(NamedTuple):
    """What one turn is to the inbox."""

    notifications: list[Notification]
    dead_letters: list[DeadLetter]


class Rows:
    """Reads the rows of one conversation. Not for use by several threads."""

    def __init__(self, realtime: Realtime, value: bytes = b"") -> None:
        """Counts on from ``value``. Raises ``ValueError`` for a value that was not made here."""
        if value and len(value) != COUNT_BYTES:
            raise ValueError("not the count of a SmartREST session")
        self._realtime = realtime
        self._count = int.from_bytes(value, "big")

    @property
    def value(self) -> bytes:
        """What to keep, in the transaction that stores the rows."""
        return self._count.to_bytes(COUNT_BYTES, "big")

    def read(
        self, rows: Iterable[Row], unreadable: Iterable[Broken], *, numbered: bool, received_at: datetime
    ) -> Batch:
        """Notifications in the order of the rows; a row that cannot be stored, and all unreadable records as one
        dead letter."""
        batch = Batch([], [])
        for row in rows:
            try:
                batch.notifications.append(self._notification(row, numbered, received_at))
            except MalformedDelivery as error:
                batch.dead_letters.append(
                    self._letter(error.reason, error.detail, records.write([row.values]), received_at)
                )
        broken = list(unreadable)
        if broken:
            detail = f"{len(broken)} record(s) of an answer"
            body = b"\n".join(record.raw for record in broken)
            batch.dead_letters.append(self._letter(broken[0].reason, detail, body, received_at))
        return batch

    def _notification(self, row: Row, numbered: bool, received_at: datetime) -> Notification:
        realtime = self._realtime
        template = realtime.by_id.get((row.x_id, row.values[0]), UNCONFIGURED)
        record = _without_line(row.values, template, numbered)
        values = dict(zip(template.columns, record[1:], strict=False))
        occurred_at = moment(values.get(template.time))
        own = self._own_key(template, values, occurred_at)
        return Notification(
            tenant=Tenant(SMARTREST, realtime.tenant),
            key=own or self._counted_key(received_at),
            identity=Identity.ID if own else Identity.TIMED,
            content=content_digest(record) if own else None,
            topic=template.topic or realtime.topic,
            channel=realtime.x_id,
            source=_named(values, template.source, "source") or realtime.source,
            action=_named(values, template.action, "action"),
            occurred_at=occurred_at,
            received_at=received_at,
            body=orjson.dumps({"xId": row.x_id, "row": record, "values": values}),
        )

    def _own_key(self, template: Template, values: dict[str, str], occurred_at: datetime | None) -> bytes:
        """A key made of what the row carries; empty if that does not identify it."""
        own = [values.get(column, "") for column in template.key]
        if not own or not all(own):
            return b""
        digest = content_digest(self._realtime.x_id, self._realtime.path, template.x_id, template.id, own)
        lead = time_bytes(occurred_at) if template.time in template.key else NO_TIME
        return digest if lead == NO_TIME else lead + digest

    def _counted_key(self, received_at: datetime) -> bytes:
        self._count += 1
        return time_bytes(received_at) + content_digest(self._realtime.x_id, self._realtime.path, self._count)

    def _letter(self, reason: str, detail: str, body: bytes, received_at: datetime) -> DeadLetter:
        return DeadLetter(
            tenant=Tenant(SMARTREST, self._realtime.tenant),
            reason=reason,
            detail=f"{self._realtime.path}, X-Id {self._realtime.x_id}: {detail}",
            digest=id_digest(body.decode("utf-8", "surrogateescape")),
            body=body,
            buried_at=received_at,
        )


def _without_line(record: Record, template: Template, numbered: bool) -> Record:
    surplus = len(record) - 1 - len(template.columns)
    if template is not UNCONFIGURED and surplus in (0, 1):
        numbered = surplus == 1
    return record[:1] + record[2:] if numbered and record[1].isdecimal() else record


def _named(values: dict[str, str], column: str, what: str) -> str:
    return short_name(values.get(column, ""), what) if column else ""
