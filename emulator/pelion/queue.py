"""The channels' queues: every event that was put in one, and what became of it. Also Pelion's book of the ledger.

First in, first out. A batch is the head of a queue up to a rank. Ways out: acknowledged (an answer that counts, or
written to a socket), expired (24 hours old), dropped (overflow, or the channel was deleted). What is on its way is
neither expired nor dropped for room. Rows stay until a reset, so that a checker can ask for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

from emulator.journal import Journal
from emulator.ledger import State, Totals, canonical
from emulator.pelion.serialization import FLAGS, Item, Serialization, text

EVENT_OVERHEAD = 212  # 50 MB hold about 160,000 events of 100 bytes (vendor's page): 312 bytes each
SCHEMA = """
CREATE TABLE IF NOT EXISTS pelion_events (
  id INTEGER PRIMARY KEY, application TEXT NOT NULL, category TEXT NOT NULL, ep TEXT NOT NULL,
  original_ep TEXT NOT NULL, core TEXT NOT NULL, uid TEXT NOT NULL, received_at REAL NOT NULL,
  rank INTEGER NOT NULL, resend INTEGER NOT NULL, size INTEGER NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL, acknowledged INTEGER NOT NULL, flags INTEGER NOT NULL, outcome TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS pelion_events_pending ON pelion_events (application, rank) WHERE state = 'pending'
"""
TABLE = "pelion_events INDEXED BY pelion_events_pending"  # the order must come from the index
WAITING = "application = ? AND state = 'pending'"
COLUMNS = "category, ep, original_ep, core, uid, received_at, rank"
HEAD = f"SELECT {COLUMNS} FROM {TABLE} WHERE {WAITING} ORDER BY rank LIMIT ?"
UP_TO = f"SELECT {COLUMNS} FROM {TABLE} WHERE {WAITING} AND rank <= ? ORDER BY rank"
OLDEST = f"SELECT received_at FROM {TABLE} WHERE {WAITING} AND rank > ? ORDER BY rank LIMIT 1"
SIZES = f"SELECT rank, size FROM {TABLE} WHERE {WAITING} AND rank > ? ORDER BY rank"
TRIED = f"""UPDATE {TABLE} SET attempts = attempts + 1, flags = ?, outcome = ?
WHERE {WAITING} AND rank <= ?"""
ACKNOWLEDGED = f"UPDATE {TABLE} SET acknowledged = acknowledged + 1 WHERE {WAITING} AND rank <= ?"
SENT_TWICE = f"UPDATE {TABLE} SET resend = 0 WHERE {WAITING} AND rank <= ?"
ITEMS = """SELECT id, application, category, ep, original_ep, core, uid, received_at, state, attempts, acknowledged,
flags, outcome FROM pelion_events WHERE id > ? ORDER BY id LIMIT ?"""
PLACES = 1 << 20  # ranks between two events that follow one another, for those that fall back between them
FLAG_BITS = {name: 1 << place for place, name in enumerate(FLAGS)}  # which members travelled, in one number


class Entry(NamedTuple):
    """An event to put in a queue."""

    item: Item
    resend: bool = False  # comes once more after its acknowledgement
    falls_back: int = 0  # places behind later ones


@dataclass(slots=True)
class Load:
    """What waits for one application."""

    events: int = 0
    bytes: int = 0


class Queue:
    """All applications' queues; ``totals`` and ``items`` are the ledger's."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._out: dict[str, int] = {}  # the highest rank that was handed out, by application
        self._shift = 0  # of new ranks
        journal.extend(SCHEMA)
        self._read()

    def _read(self) -> None:
        db = self._journal.db
        self.totals = Totals()
        for state, count, attempts in db.execute(
            "SELECT state, count(*), sum(attempts) FROM pelion_events GROUP BY state"
        ):
            self.totals.published += count
            self.totals.attempts += attempts
            self.totals.moved(State(state), count)
        self._last = int(db.execute("SELECT coalesce(max(id), 0) FROM pelion_events").fetchone()[0])
        rows = db.execute(
            "SELECT application, count(*), sum(size) FROM pelion_events WHERE state = 'pending' GROUP BY application"
        )
        self._loads = {application: Load(events, bytes) for application, events, bytes in rows}

    def waiting(self, application: str) -> Load:
        return self._loads.setdefault(application, Load())

    def oldest(self, application: str, beyond: int | None) -> float | None:
        """When the first one waiting came in, of those behind the rank ``beyond``."""
        row = self._journal.db.execute(OLDEST, (application, beyond or 0)).fetchone()
        return row[0] if row else None

    # in

    def add(self, application: str, entries: Sequence[Entry]) -> None:
        """Committed when this returns, or with the caller's transaction."""
        rows = [self._row(application, entry) for entry in entries]
        with self._journal.transaction() as db:
            db.executemany(f"INSERT INTO pelion_events VALUES ({', '.join('?' * 16)})", rows)
        load = self.waiting(application)
        load.events += len(rows)
        load.bytes += sum(len(entry.item.core) + EVENT_OVERHEAD for entry in entries)
        self.totals.published += len(rows)

    def _row(self, application: str, entry: Entry) -> tuple[object, ...]:
        self._last += 1
        item = entry.item
        rank = self._rank(application, entry.falls_back)
        return (
            *(self._last, application, item.category, item.ep, item.original_ep, item.core, item.uid),
            *(item.received_at, rank, entry.resend, len(item.core) + EVENT_OVERHEAD),
            *(State.PENDING, 0, 0, 0, ""),
        )

    def _rank(self, application: str, falls_back: int) -> int:
        """Unlike all others, and behind what is on its way: it was not in there, and is not acknowledged with it."""
        rank = (self._last + falls_back) * PLACES + self._shift
        if falls_back:
            rank += 1 + self._last % (PLACES - 1)
        behind = self._out.get(application, 0) - rank
        if behind >= 0:
            ahead = (behind // PLACES + 1) * PLACES
            self._shift += ahead
            rank += ahead
        return rank

    # the batch

    def head(self, application: str, limit: int) -> tuple[list[Item], int]:
        """Up to ``limit`` waiting items in order, and the rank of the last (0 if there is none)."""
        return self._handed_out(application, _items(self._journal.db.execute(HEAD, (application, limit))))

    def up_to(self, application: str, rank: int) -> tuple[list[Item], int]:
        return self._handed_out(application, _items(self._journal.db.execute(UP_TO, (application, rank))))

    def _handed_out(self, application: str, batch: tuple[list[Item], int]) -> tuple[list[Item], int]:
        self._out[application] = max(self._out.get(application, 0), batch[1])
        return batch

    def tried(self, application: str, rank: int, wishes: Serialization, outcome: str) -> None:
        """One attempt was made for everything up to ``rank``."""
        values = (_flags(wishes), outcome, application, rank)
        count = self._journal.db.execute(TRIED, values).rowcount
        self.totals.attempts += count

    def acknowledge(self, application: str, rank: int) -> None:
        """Take the batch off; what is to be sent twice stays for the next one."""
        with self._journal.transaction() as db:
            db.execute(ACKNOWLEDGED, (application, rank))
            self._leave(application, State.ACKNOWLEDGED, "", "rank <= ? AND NOT resend", (rank,))
            db.execute(SENT_TWICE, (application, rank))

    def expire(self, application: str, before: float, beyond: int | None) -> None:
        """What came in before that time, behind the rank ``beyond``, is too old."""
        self._leave(application, State.EXPIRED, "expired", "rank > ? AND received_at <= ?", (beyond or 0, before))

    def make_room(self, application: str, limit: int, beyond: int | None) -> None:
        """Drop the oldest behind the rank ``beyond`` until at most ``limit`` bytes wait."""
        surplus = self.waiting(application).bytes - limit
        if surplus <= 0:
            return
        last = 0
        rows = self._journal.db.execute(SIZES, (application, beyond or 0))
        while surplus > 0 and (row := rows.fetchone()) is not None:
            last, size = row
            surplus -= size
        rows.close()
        self._leave(application, State.DROPPED, "overflow", "rank > ? AND rank <= ?", (beyond or 0, last))

    def drop(self, application: str, outcome: str) -> None:
        """The channel is gone, and all that waits with it."""
        self._leave(application, State.DROPPED, outcome, "true", ())

    def _leave(self, application: str, state: State, outcome: str, which: str, values: tuple[object, ...]) -> None:
        where = f"{WAITING} AND {which}"
        db = self._journal.db
        count, size = db.execute(
            f"SELECT count(*), coalesce(sum(size), 0) FROM pelion_events WHERE {where}", (application, *values)
        ).fetchone()
        if not count:
            return
        db.execute(
            f"UPDATE pelion_events SET state = ?, outcome = iif(? = '', outcome, ?) WHERE {where}",
            (state, outcome, outcome, application, *values),
        )
        load = self.waiting(application)
        load.events -= count
        load.bytes -= size
        self.totals.moved(state, count)

    # the ledger's book

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        return [_listed(row) for row in self._journal.db.execute(ITEMS, (after, limit))]

    def clear(self) -> None:
        self._journal.db.execute("DELETE FROM pelion_events")
        self._read()


def _items(rows: Iterable[tuple[object, ...]]) -> tuple[list[Item], int]:
    items, rank = [], 0
    for row in rows:
        items.append(Item(*row[:6]))  # type: ignore[arg-type]  # the columns follow the fields
        rank = row[6]  # type: ignore[assignment]
    return items, rank


def _flags(wishes: Serialization) -> int:
    """The ledger must know the body as it was sent."""
    return sum(bit for name, bit in FLAG_BITS.items() if getattr(wishes, name))


def _listed(row: tuple[Any, ...]) -> dict[str, object]:
    number, application, *members = row[:8]
    state, attempts, acknowledged, flags, outcome = row[8:]
    item = Item(*members)
    wishes = replace(Serialization(), **{name: bool(flags & bit) for name, bit in FLAG_BITS.items()})  # type: ignore[arg-type]
    body = text(item, wishes).encode()
    return {
        "platform": "pelion",
        "number": number,
        "id": item.uid,
        "tenant": application,
        "topic": item.category,
        "source": item.ep,
        "state": state,
        "attempts": attempts,
        "acknowledged": acknowledged,
        "outcome": outcome,
        "published_at": item.received_at,
        "body_sha256": sha256(body).hexdigest(),
        "content_sha256": sha256(canonical(body)).hexdigest(),
    }
