"""What Notification 2.0 has sent and what became of it: this platform's book of the ledger.

A *delivery* here is one message for one consumer. Messages are committed when they are published; what became of them
is kept in memory until ``flush`` (about every 50 ms), one transaction for all: a kill in between repeats frames, it
never loses a pending one. Bodies are kept until ``reset``, so that a checker can ask for each message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from emulator.journal import Journal
from emulator.ledger import State, Totals, canonical

SCHEMA = """
CREATE TABLE IF NOT EXISTS n2_messages (
  id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, api TEXT NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL,
  published_at REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS n2_deliveries (
  id INTEGER PRIMARY KEY, message INTEGER NOT NULL, consumer INTEGER NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS n2_deliveries_pending ON n2_deliveries (id) WHERE state = 'pending'
"""
PENDING = """SELECT d.id, d.consumer, d.attempts, m.id, m.topic, m.api, m.source, m.action, m.published_at, m.body
FROM n2_deliveries d INDEXED BY n2_deliveries_pending JOIN n2_messages m ON m.id = d.message
WHERE d.state = 'pending' ORDER BY d.id"""
ITEMS = """SELECT d.id, m.id, t.tenant, m.api, m.source, m.action, m.published_at, m.body, t.name, c.name, d.state,
d.attempts FROM n2_deliveries d JOIN n2_messages m ON m.id = d.message JOIN n2_topics t ON t.id = m.topic
JOIN n2_consumers c ON c.id = d.consumer WHERE d.id > ? ORDER BY d.id LIMIT ?"""


@dataclass(slots=True, eq=False)
class Message:
    """One notification in one topic; its id is its place in the order."""

    id: int
    topic: int
    api: str
    source: str
    action: str
    published_at: float  # emulator seconds
    body: bytes
    frame: bytes  # ready to send, the acknowledgement id in its first line
    ack: str
    holders: int = 0  # consumers that have not acknowledged it

    @property
    def size(self) -> int:
        return len(self.frame)


@dataclass(slots=True, eq=False)
class Delivery:
    """One message for one consumer."""

    id: int
    consumer: int
    message: Message
    state: State = State.PENDING
    attempts: int = 0  # frames sent


class Pending(NamedTuple):
    """A delivery and its message as the state file has them; the columns of ``PENDING``."""

    delivery: int
    consumer: int
    attempts: int
    id: int
    topic: int
    api: str
    source: str
    action: str
    published_at: float
    body: bytes


class Backlog:
    """The tables ``n2_messages`` and ``n2_deliveries``; ``totals`` are kept in memory beside them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        self._changed: dict[int, Delivery] = {}
        self._load()

    def _load(self) -> None:
        db = self._journal.db
        self.totals = Totals()
        self._last_message = self._last_delivery = 0
        rows = db.execute("SELECT state, count(*), sum(attempts) FROM n2_deliveries GROUP BY state")
        for state, count, attempts in rows:
            self.totals.published += count
            self.totals.attempts += attempts
            self.totals.moved(State(state), count)
        (self._last_message,) = db.execute("SELECT coalesce(max(id), 0) FROM n2_messages").fetchone()
        (self._last_delivery,) = db.execute("SELECT coalesce(max(id), 0) FROM n2_deliveries").fetchone()

    # publishing

    def next_message_id(self) -> int:
        self._last_message += 1
        return self._last_message

    def add(self, message: Message, consumers: Iterable[int]) -> list[Delivery]:
        """Keep a message for these consumers; committed with the caller's transaction."""
        deliveries = []
        for consumer in consumers:
            self._last_delivery += 1
            deliveries.append(Delivery(self._last_delivery, consumer, message))
        with self._journal.transaction() as db:
            db.execute(
                "INSERT INTO n2_messages VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(message.id, message.topic, message.api, message.source, message.action),
                    *(message.published_at, message.body),
                ),
            )
            db.executemany(
                "INSERT INTO n2_deliveries VALUES (?, ?, ?, 'pending', 0)",
                [(delivery.id, message.id, delivery.consumer) for delivery in deliveries],
            )
        self.totals.published += len(deliveries)
        return deliveries

    # bookkeeping

    def sent(self, delivery: Delivery) -> None:
        """One frame went out."""
        delivery.attempts += 1
        self.totals.attempts += 1
        self._changed[delivery.id] = delivery

    def ended(self, delivery: Delivery, state: State) -> None:
        """Nothing more is planned for it."""
        delivery.state = state
        self.totals.moved(state, 1)
        self._changed[delivery.id] = delivery

    @property
    def dirty(self) -> bool:
        return bool(self._changed)

    def flush(self) -> None:
        """Commit what changed."""
        if not self._changed:
            return
        rows = [(entry.state, entry.attempts, entry.id) for entry in self._changed.values()]
        self._changed.clear()
        with self._journal.transaction() as db:
            db.executemany("UPDATE n2_deliveries SET state = ?, attempts = ? WHERE id = ?", rows)

    # reading

    def pending(self) -> Iterator[Pending]:
        """What was pending when the emulator stopped, in order."""
        return (Pending(*row) for row in self._journal.db.execute(PENDING).fetchall())

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        """One object per delivery whose number is above ``after``, in order of publication."""
        self.flush()
        return [_item(row) for row in self._journal.db.execute(ITEMS, (after, limit))]

    def clear(self) -> None:
        """Forget everything."""
        self._changed.clear()
        with self._journal.transaction() as db:
            db.execute("DELETE FROM n2_deliveries")
            db.execute("DELETE FROM n2_messages")
        self._load()


def _item(row: tuple[object, ...]) -> dict[str, object]:
    number, message, tenant, api, source, action, published_at, body, topic, consumer, state, attempts = row
    assert isinstance(body, bytes)
    return {
        "number": number,
        "id": str(message),
        "platform": "cumulocity",
        "tenant": tenant,
        "topic": api,
        "source": source,
        "action": action,
        "subscription": topic,
        "subscriber": consumer,
        "state": state,
        "attempts": attempts,
        "acknowledged": int(state == State.ACKNOWLEDGED),
        "published_at": published_at,
        "body_sha256": sha256(body).hexdigest(),
        "content_sha256": sha256(canonical(body)).hexdigest(),
    }
