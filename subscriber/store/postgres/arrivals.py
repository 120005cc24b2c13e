"""Notifications as columns, and the insert that is the deduplication.

``seq`` is given in order of arrival, but rows go in by key: two processes that insert the same keys in different
order would wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from subscriber.model import DeadLetter, Identity, Notification, Outcome, Receipt, Tenant
from subscriber.store import ChannelFact
from subscriber.store.cells import ADDED, added
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.database import NOW
from subscriber.store.postgres.driver import Connection

NAMES = tuple(name.strip() for name in ADDED.split(","))[:-1]  # all but the last, not_before, which is now
BYTES = ("key", "content", "body")
NUMBERS = ("repeat", "occurred_at", "received_at", "tenant_id")


def _parameter(name: str) -> str:
    """Bytes are bound as bytes: as text they would be twice as long."""
    if name in BYTES:
        return f"%({name})b::bytea[]"
    return f"%({name})s::{'bigint' if name in NUMBERS else 'text'}[]"


COLUMNS = ", ".join(NAMES)
BOUND = ", ".join(map(_parameter, NAMES))
# Pieces of statements. Arrivals get their numbers in the order in which they were handed in.
GIVEN = f"""
    clock AS MATERIALIZED (SELECT {NOW} AS now),
    given AS MATERIALIZED (
        SELECT nextval('inbox_seq_seq') AS seq, arrival.* FROM unnest({BOUND}) AS arrival ({COLUMNS}))
"""
INTO_INBOX = (
    f"INSERT INTO inbox (seq, {COLUMNS}, not_before) SELECT seq, {COLUMNS}, (SELECT now FROM clock) FROM given"
)
BY_KEY = "ORDER BY tenant_id, key, seq ON CONFLICT (tenant_id, key) DO NOTHING RETURNING seq, tenant_id"
INSERT = f"""
    WITH {GIVEN}, inserted AS ({INTO_INBOX} {BY_KEY})
    SELECT ARRAY(SELECT seq FROM given), ARRAY(SELECT seq FROM inserted)
"""


class Arrival:
    """What one caller of ``add`` handed in. Columns are made here, in the caller's thread, before anyone waits.

    ``plain``: an equal key is a duplicate, whatever else there is to say.
    """

    __slots__ = ("columns", "facts", "letters", "notifications", "plain")

    def __init__(
        self,
        notifications: Sequence[Notification],
        letters: Sequence[DeadLetter],
        facts: Sequence[ChannelFact] = (),
    ) -> None:
        self.notifications = notifications
        self.letters = letters
        self.facts = facts
        self.columns = [added(notification) for notification in notifications]
        nothing_else = not letters and not facts
        self.plain = nothing_else and all(item.identity is Identity.TIMED for item in notifications)

    def tenants(self) -> set[Tenant]:
        return {item.tenant for items in (self.notifications, self.letters, self.facts) for item in items}


class Entry(NamedTuple):
    """One notification on its way in."""

    tenant_id: int  # NOBODY: its tenant is unknown, or gone
    notification: Notification
    columns: tuple[object, ...]

    def receipt(self, outcome: Outcome) -> Receipt:
        return Receipt(self.notification.tenant, self.notification.key, outcome)


def entries_of(arrivals: Iterable[Arrival], ids: Mapping[Tenant, int]) -> list[Entry]:
    """All notifications of the arrivals, in order."""
    return [
        Entry(ids.get(notification.tenant, NOBODY), notification, columns)
        for arrival in arrivals
        for notification, columns in zip(arrival.notifications, arrival.columns, strict=True)
    ]


def bound(entries: Sequence[Entry]) -> dict[str, Any]:
    """The parameters of ``BOUND``: a list for each column."""
    cells = zip(*((*entry.columns, entry.tenant_id) for entry in entries), strict=True)
    return {name: list(column) for name, column in zip(NAMES, cells, strict=True)}


def insert(connection: Connection, now: int, entries: Sequence[Entry]) -> list[bool]:
    """Insert what is not in yet. For each entry: was it new? Of equal keys the first is."""
    if not entries:
        return []
    ((seqs, inserted),) = connection.execute(INSERT, {**bound(entries), "now": now}, binary=True).fetchall()
    fresh = set(inserted)
    return [seq in fresh for seq in seqs]
