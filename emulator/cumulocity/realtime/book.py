"""What real-time sessions were sent and what became of it: their book of the ledger.

A *delivery* here is one row of one notification for one session that speaks CSV, or one message for one that speaks
JSON. Rows are committed when they are published; what became of them is kept in memory until ``flush`` (about every
50 ms). Without acknowledgement a row counts as acknowledged once its answer was written, as the platform sees it;
what the emulator itself made disappear on the way is ``dropped``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import orjson

from emulator.journal import Journal
from emulator.ledger import State, Totals

FLUSH_S = 0.05
SCHEMA = """
CREATE TABLE IF NOT EXISTS sr_deliveries (
  id INTEGER PRIMARY KEY, message INTEGER NOT NULL, tenant TEXT NOT NULL, session TEXT NOT NULL, x_id TEXT NOT NULL,
  api TEXT NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL, published_at REAL NOT NULL, content BLOB NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, outcome TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sr_deliveries_pending ON sr_deliveries (id) WHERE state = 'pending'
"""
COLUMNS = "id, message, tenant, session, x_id, api, source, action, published_at, content, state, attempts, outcome"
INSERT = f"INSERT INTO sr_deliveries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, '')"
ITEMS = f"SELECT {COLUMNS} FROM sr_deliveries WHERE id > ? ORDER BY id LIMIT ?"


@dataclass(frozen=True, slots=True)
class Notification:
    """One change as sessions are told of it."""

    number: int
    tenant: str
    api: str
    source: str
    action: str
    published_at: float  # emulator seconds


@dataclass(slots=True, eq=False)
class Delivery:
    """One row, or one message, for one session."""

    id: int
    state: State = State.PENDING
    attempts: int = 0  # answers it was written into
    outcome: str = ""  # how it ended


class Book:
    """The table ``sr_deliveries``; ``totals`` are kept in memory beside it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        # sessions do not survive a restart, nor does what waited in them
        journal.db.execute("UPDATE sr_deliveries SET state = 'dropped', outcome = 'restart' WHERE state = 'pending'")
        self._changed: dict[int, Delivery] = {}
        self._flush: asyncio.TimerHandle | None = None
        self._load()

    def _load(self) -> None:
        db = self._journal.db
        self.totals = Totals()
        rows = db.execute("SELECT state, count(*), sum(attempts) FROM sr_deliveries GROUP BY state")
        for state, count, attempts in rows:
            self.totals.published += count
            self.totals.attempts += attempts
            self.totals.moved(State(state), count)
        highest = db.execute("SELECT coalesce(max(id), 0), coalesce(max(message), 0) FROM sr_deliveries").fetchone()
        self._last, self._last_message = map(int, highest)

    def next_number(self) -> int:
        """The number of a notification."""
        self._last_message += 1
        return self._last_message

    def add(self, about: Notification, session: str, contents: Iterable[tuple[str, bytes]]) -> list[Delivery]:
        """X-Id and text of each row for one session, or no X-Id and the message."""
        made, rows = [], []
        for x_id, content in contents:
            self._last += 1
            made.append(Delivery(self._last))
            where = (about.tenant, session, x_id, about.api, about.source, about.action)
            rows.append((self._last, about.number, *where, about.published_at, content))
        with self._journal.transaction() as db:
            db.executemany(INSERT, rows)
        self.totals.published += len(made)
        return made

    def written(self, deliveries: Iterable[Delivery]) -> None:
        """An answer with them went out."""
        for delivery in deliveries:
            delivery.attempts += 1
            self.totals.attempts += 1
            self._change(delivery)

    def ended(self, deliveries: Iterable[Delivery], state: State, outcome: str) -> None:
        """Nothing more is planned for them."""
        for delivery in deliveries:
            if delivery.state is State.PENDING:
                delivery.state, delivery.outcome = state, outcome
                self.totals.moved(state, 1)
                self._change(delivery)

    def _change(self, delivery: Delivery) -> None:
        self._changed[delivery.id] = delivery
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Commit what changed."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        rows = [(entry.state, entry.attempts, entry.outcome, entry.id) for entry in self._changed.values()]
        self._changed.clear()
        if rows:
            with self._journal.transaction() as db:
                db.executemany("UPDATE sr_deliveries SET state = ?, attempts = ?, outcome = ? WHERE id = ?", rows)

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        """One object per delivery whose number is above ``after``, in order of publication."""
        self.flush()
        return [_item(row) for row in self._journal.db.execute(ITEMS, (after, limit))]

    def clear(self) -> None:
        """Forget everything."""
        self.flush()
        self._journal.db.execute("DELETE FROM sr_deliveries")
        self._load()


def _item(row: tuple[object, ...]) -> dict[str, object]:
    number, message, tenant, session, x_id, api, source, action, published_at, content, state, attempts, outcome = row
    assert isinstance(content, bytes)
    return {
        "number": number,
        "id": str(message),
        "platform": "smartrest" if x_id else "bayeux",
        "tenant": tenant,
        "topic": api,
        "source": source,
        "action": action,
        "session": session,
        "x_id": x_id,
        "content": orjson.loads(content),
        "state": state,
        "attempts": attempts,
        "acknowledged": int(state == State.ACKNOWLEDGED),
        "outcome": outcome,
        "published_at": published_at,
        "body_sha256": sha256(content).hexdigest(),
    }
