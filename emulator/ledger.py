"""Messages and their deliveries: what was published, attempted, acknowledged, expired.

A *delivery* here is one message for one subscription, from publishing until nothing more is planned for it.
Publishing is committed at once. Outcomes of attempts are kept in memory until ``flush`` (about every 50 ms), one
transaction for all: a kill in between repeats those attempts, it never loses a pending message.

Everything is kept until ``reset``, so that a checker can ask for each message; bodies included.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from emulator.journal import Journal


class State(StrEnum):
    """State of a delivery."""

    PENDING = "pending"  # an attempt is planned at ``wake_at``
    ACKNOWLEDGED = "acknowledged"  # answered 2xx, and no resend planned
    EXPIRED = "expired"  # retention ran out first
    DROPPED = "dropped"  # its subscription was deleted first


@dataclass(frozen=True, slots=True)
class Message:
    """One published notification. ``verbatim`` bodies were given by the caller and are never rewritten."""

    id: int
    uuid: str
    topic: str
    context: tuple[str, ...]
    published_at: float
    verbatim: bool
    body: bytes


@dataclass(slots=True)
class Delivery:
    """One message for one subscription; the courier changes it and hands it to ``Ledger.record``."""

    id: int
    message: int
    subscription: int
    wake_at: float  # emulator seconds; never later than ``expires_at``
    rank: int  # order among equal ``wake_at``; 2 * id unless it fell back
    expires_at: float
    resend: int = 0  # how often it is sent again after a 2xx
    uri: str | None = None  # set only where a changed subscription must not redirect it
    state: State = State.PENDING
    attempts: int = 0
    acknowledged: int = 0  # answers 2xx the broker got to see
    outcome: str = ""  # of the last attempt: an HTTP status or a word


@dataclass(slots=True)
class Totals:
    """Deliveries by state, and attempts, since the last reset."""

    published: int = 0
    attempts: int = 0
    acknowledged: int = 0
    expired: int = 0
    dropped: int = 0

    def pending(self) -> int:
        return self.published - self.acknowledged - self.expired - self.dropped

    def moved(self, state: State, count: int) -> None:
        """``count`` deliveries came into ``state``; negative: left it."""
        if state is not State.PENDING:  # what is left over
            setattr(self, state.value, getattr(self, state.value) + count)

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, entry.name) + getattr(other, entry.name) for entry in fields(Totals)))

    def as_json(self) -> dict[str, int]:
        return {
            "published": self.published,
            "attempts": self.attempts,
            "acknowledged": self.acknowledged,
            "expired": self.expired,
            "pending": self.pending(),
            "dropped": self.dropped,
        }


class Book(Protocol):
    """What one platform sent, and what became of it."""

    @property
    def totals(self) -> Totals: ...

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        """Items numbered above ``after``, in order; each has ``number``."""
        ...


STRIDE = 10**15  # numbers of one book stay below; JSON readers keep whole numbers up to 9 * 10**15 exactly


class Books:
    """All platforms' books as one. An item's number tells its book too, so one cursor walks all."""

    def __init__(self, books: Sequence[Book]) -> None:
        self._books = books

    @property
    def totals(self) -> Totals:
        return sum((book.totals for book in self._books), Totals())

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for place, book in enumerate(self._books):
            if len(found) < limit and after < (place + 1) * STRIDE:
                items = book.items(max(0, after - place * STRIDE), limit - len(found))
                found += [{**item, "number": place * STRIDE + int(str(item["number"]))} for item in items]
        return found


COLUMNS = "id, message, subscription, wake_at, rank, expires_at, resend, uri, state, attempts, acknowledged, outcome"
# INDEXED BY: the order must come from the index, however few rows a fresh file has
DUE = f"""SELECT {COLUMNS} FROM deliveries INDEXED BY deliveries_due
WHERE state = 'pending' AND subscription = ? AND wake_at <= ? ORDER BY wake_at, rank LIMIT ?"""
NEXT_WAKE = """SELECT wake_at FROM deliveries INDEXED BY deliveries_due
WHERE state = 'pending' AND subscription = ? ORDER BY wake_at, rank LIMIT 1"""
WAKING = """SELECT subscription, min(wake_at) FROM deliveries INDEXED BY deliveries_due
WHERE state = 'pending' GROUP BY subscription"""
RECORD = """UPDATE deliveries SET state = ?, attempts = ?, acknowledged = ?, resend = ?, wake_at = ?, rank = ?,
outcome = ? WHERE id = ?"""
ITEMS = """SELECT d.id, m.uuid, m.topic, m.context, m.published_at, m.body, s.tenant, s.subscriber, s.version,
d.state, d.attempts, d.acknowledged, d.outcome, d.wake_at
FROM deliveries d JOIN messages m ON m.id = d.message JOIN subscriptions s ON s.id = d.subscription
WHERE d.id > ? ORDER BY d.id LIMIT ?"""


class Ledger:
    """The tables ``messages`` and ``deliveries``."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._changes: dict[int, Delivery] = {}
        self._load()

    def _load(self) -> None:
        db = self._journal.db
        self.totals = Totals()
        for state, count, attempts in db.execute(
            "SELECT state, count(*), sum(attempts) FROM deliveries GROUP BY state"
        ):
            self.totals.published += count
            self.totals.attempts += attempts
            self.totals.moved(State(state), count)
        self._last_message = _highest(db, "messages")
        self._last_delivery = _highest(db, "deliveries")

    def next_message_id(self) -> int:
        self._last_message += 1
        return self._last_message

    def next_delivery_id(self) -> int:
        self._last_delivery += 1
        return self._last_delivery

    def add(self, messages: Iterable[Message], deliveries: Iterable[Delivery]) -> None:
        """Publish: committed when this returns (or with the caller's transaction)."""
        rows = [_delivery_row(delivery) for delivery in deliveries]
        with self._journal.transaction() as db:
            db.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (m.id, m.uuid, m.topic, json.dumps(m.context), m.published_at, m.verbatim, m.body)
                    for m in messages
                ],
            )
            db.executemany(f"INSERT INTO deliveries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.totals.published += len(rows)

    def due(self, subscription: int, now: float, limit: int) -> list[Delivery]:
        """What may be attempted now, in order."""
        self.flush()
        rows = self._journal.db.execute(DUE, (subscription, now, limit))
        return [_delivery(row) for row in rows]

    def next_wake(self, subscription: int) -> float | None:
        """When this subscription next has something to do; None if nothing is pending."""
        self.flush()
        row = self._journal.db.execute(NEXT_WAKE, (subscription,)).fetchone()
        return row[0] if row else None

    def waking(self) -> list[tuple[int, float]]:
        """Every subscription with pending deliveries, with the first time it has something to do."""
        self.flush()
        return self._journal.db.execute(WAKING).fetchall()

    def message(self, id: int) -> Message:
        row = self._journal.db.execute(
            "SELECT id, uuid, topic, context, published_at, verbatim, body FROM messages WHERE id = ?", (id,)
        ).fetchone()
        return Message(row[0], row[1], row[2], tuple(json.loads(row[3])), row[4], bool(row[5]), row[6])

    def record(self, delivery: Delivery, *, was: State, attempts: int) -> None:
        """Keep a changed delivery; ``attempts`` were made since it was last recorded."""
        self.totals.attempts += attempts
        self.totals.moved(was, -1)
        self.totals.moved(delivery.state, 1)
        self._changes[delivery.id] = delivery

    @property
    def dirty(self) -> bool:
        return bool(self._changes)

    def flush(self) -> None:
        """Commit what was recorded."""
        if not self._changes:
            return
        with self._journal.transaction() as db:
            db.executemany(RECORD, [_record_row(delivery) for delivery in self._changes.values()])
        self._changes.clear()

    def drop(self, subscription: int) -> int:
        """Forget what is pending for a deleted subscription; how many that were."""
        self.flush()
        dropped = self._journal.db.execute(
            "UPDATE deliveries SET state = 'dropped' WHERE subscription = ? AND state = 'pending'",
            (subscription,),
        ).rowcount
        self.totals.moved(State.DROPPED, dropped)
        return dropped

    def clear(self) -> None:
        """Forget everything."""
        self._changes.clear()
        with self._journal.transaction() as db:
            db.execute("DELETE FROM deliveries")
            db.execute("DELETE FROM messages")
        self._load()

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        """One object per delivery whose number is above ``after``, in order of publication."""
        self.flush()
        return [_item(row) for row in self._journal.db.execute(ITEMS, (after, limit))]


def _highest(db: sqlite3.Connection, table: str) -> int:
    (highest,) = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()
    return int(highest)


def _delivery_row(d: Delivery) -> tuple[object, ...]:
    return (
        *(d.id, d.message, d.subscription, d.wake_at, d.rank, d.expires_at, d.resend, d.uri),
        *(d.state, d.attempts, d.acknowledged, d.outcome),
    )


def _delivery(row: tuple[object, ...]) -> Delivery:
    delivery = Delivery(*row)  # type: ignore[arg-type]  # COLUMNS follows the fields
    delivery.state = State(delivery.state)
    return delivery


def _record_row(d: Delivery) -> tuple[object, ...]:
    return (d.state, d.attempts, d.acknowledged, d.resend, d.wake_at, d.rank, d.outcome, d.id)


def canonical(body: bytes) -> bytes:
    """JSON with sorted members and no spaces, so that equal content has equal bytes; other bodies as they are."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except ValueError:
        return body


def _item(row: tuple[object, ...]) -> dict[str, object]:
    number, uuid, topic, context, published_at, body, tenant, subscriber, version = row[:9]
    assert isinstance(body, bytes) and isinstance(context, str)
    return {
        "number": number,
        "id": uuid,
        "tenant": tenant,
        "topic": topic,
        "context": json.loads(context),
        "subscriber": subscriber,
        "version": version,
        "state": row[9],
        "attempts": row[10],
        "acknowledged": row[11],
        "outcome": row[12],
        "wake_at": row[13],
        "published_at": published_at,
        "body_sha256": sha256(body).hexdigest(),
        "content_sha256": sha256(canonical(body)).hexdigest(),
    }
