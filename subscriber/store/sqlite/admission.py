"""What becomes of arrivals: new, duplicate, conflict. Runs in the committer's turn.

The insert is the decision: nothing is looked up before it. When everything is new, as it nearly always is, one
statement does it all. Only when something is not does a transaction ask what, and what that means (``Inbox.add``).
New rows are counted by a trigger, which also refuses rows of erased tenants (migration 0001).

Rows go in as they arrived, so that ``seq`` is the order of arrival. There is one writer at a time, so the order of
keys cannot deadlock here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from subscriber.model import (
    REPEAT_BYTES,
    DeadLetter,
    Identity,
    Notification,
    Outcome,
    Receipt,
    State,
    Tenant,
    from_millis,
    to_millis,
    with_repeat,
)
from subscriber.store import REPEAT_WINDOW, ChannelFact, Counter
from subscriber.store.cells import ADDED, added, clipped
from subscriber.store.sqlite.channels import keep_facts
from subscriber.store.sqlite.driver import Connection, ConstraintBroken
from subscriber.store.sqlite.transaction import LARGEST_STATEMENT_ROWS, NOBODY, Transaction, values

REPEAT_MILLIS = int(REPEAT_WINDOW.total_seconds() * 1000)
CONFLICT_REASON = "conflicting_duplicate"
UNSETTLED = (State.PENDING, State.RUNNING)

# After a batch with something old in it, so many more go the long way: duplicates come in swarms, and trying the
# short way in vain costs as much as the insert.
WARY_BATCHES = 8
# Rows of one statement where many come at once. Who comes out of a statement waits for the interpreter's lock, as
# long as some hundred rows take, so there shall be few; but preparing one takes as long as its rows, so they have few
# sizes. The largest is half of a channel's window: the other half is read meanwhile.
LARGE_STATEMENTS = tuple(range(500, LARGEST_STATEMENT_ROWS, -50))
KNOWN_TENANTS = 10_000  # ids kept in memory; more than user tenants of any application

COUNTERS = {
    Outcome.DUPLICATE: Counter.DUPLICATE,
    Outcome.CONFLICT: Counter.CONFLICT,
    Outcome.ERASED: Counter.ERASED,
}


class Arrival:
    """What one caller of ``add`` handed in. Columns are made here, in the caller's thread, before anyone waits."""

    __slots__ = ("columns", "facts", "letters", "notifications")

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

    def tenants(self) -> set[Tenant]:
        return {item.tenant for items in (self.notifications, self.letters, self.facts) for item in items}


class Entry(NamedTuple):
    """One notification on its way in."""

    tenant_id: int
    notification: Notification
    columns: tuple[object, ...]


Work = Arrival | Callable[[Transaction], object]


class Admission:
    """The committer's ``Performer``. One thread uses it."""

    def __init__(self) -> None:
        self._ids: dict[Tenant, int] = {}  # living tenants as last seen; the database refuses an id that is outdated
        self._wary = 0

    def at_once(self, connection: Connection, now: int, works: Sequence[Work]) -> Sequence[object] | None:
        if self._wary:
            self._wary -= 1
            return None
        arrivals = _plain(works)
        cells = arrivals and self._cells(arrivals, now)
        if not arrivals or not cells:
            return None
        try:
            connection.execute(_insertion(_rows(arrivals)), cells)
        except ConstraintBroken:
            self._wary = WARY_BATCHES
            return None
        return [[_new(notification) for notification in arrival.notifications] for arrival in arrivals]

    def perform(self, transaction: Transaction, works: Sequence[Work]) -> Sequence[object]:
        """All arrivals as one, then everything else in order."""
        arrivals = [work for work in works if isinstance(work, Arrival)]
        receipts = iter(self._admit(transaction, arrivals))
        return [next(receipts) if isinstance(work, Arrival) else work(transaction) for work in works]

    def _cells(self, arrivals: Sequence[Arrival], now: int) -> list[object] | None:
        """Of known tenants; None if one is not."""
        ids = self._ids
        try:
            return [
                cell
                for arrival in arrivals
                for notification, columns in zip(arrival.notifications, arrival.columns, strict=True)
                for cell in (*columns, ids[notification.tenant], now)
            ]
        except KeyError:
            return None

    def _admit(self, transaction: Transaction, arrivals: Sequence[Arrival]) -> list[list[Receipt]]:
        """The receipts of each arrival, in order."""
        ids = self._learn(transaction, arrivals)
        entries = [
            Entry(ids[notification.tenant], notification, columns)
            for arrival in arrivals
            for notification, columns in zip(arrival.notifications, arrival.columns, strict=True)
        ]
        receipts = iter(_keep(transaction, entries))
        for arrival in arrivals:
            for letter in arrival.letters:
                _bury(transaction, ids[letter.tenant], letter)
        keep_facts(transaction, ids, [fact for arrival in arrivals for fact in arrival.facts])
        return [[next(receipts) for _ in arrival.columns] for arrival in arrivals]

    def _learn(self, transaction: Transaction, arrivals: Sequence[Arrival]) -> dict[Tenant, int]:
        """Ids of all tenants of these arrivals, as they are now."""
        ids = transaction.tenant_ids({tenant for arrival in arrivals for tenant in arrival.tenants()})
        if len(self._ids) > KNOWN_TENANTS:
            self._ids.clear()
        self._ids |= ids
        for tenant in [tenant for tenant, tenant_id in ids.items() if tenant_id == NOBODY]:
            del self._ids[tenant]
        return ids


def _plain(works: Sequence[Work]) -> list[Arrival] | None:
    """What one statement can store: notifications and nothing else, as many as there is a statement for."""
    arrivals = [work for work in works if isinstance(work, Arrival) and not (work.letters or work.facts)]
    count = _rows(arrivals)
    return arrivals if len(arrivals) == len(works) and count and count == _statement_rows(count) else None


def _rows(arrivals: Sequence[Arrival]) -> int:
    return sum(len(arrival.columns) for arrival in arrivals)


def _keep(transaction: Transaction, entries: Sequence[Entry]) -> list[Receipt]:
    inserted = _insert(transaction, [entry for entry in entries if entry.tenant_id != NOBODY])
    if inserted == len(entries):
        return [_new(entry.notification) for entry in entries]
    fresh = _newest(transaction, inserted)
    return [_receipt(transaction, entry, fresh) for entry in entries]


def _insert(transaction: Transaction, entries: Sequence[Entry]) -> int:
    """Insert what is not in yet. Returns how many rows that were."""
    inserted = start = 0
    while start < len(entries):
        chunk = entries[start : start + _statement_rows(len(entries) - start)]
        sql = _insertion(len(chunk)) + " ON CONFLICT (tenant_id, key) DO NOTHING"
        inserted += transaction.execute(sql, _cells(chunk, transaction.now)).rowcount
        start += len(chunk)
    return inserted


def _statement_rows(left: int) -> int:
    """How many of so many rows the next statement takes."""
    return next((size for size in LARGE_STATEMENTS if size <= left), min(left, LARGEST_STATEMENT_ROWS))


@cache
def _insertion(count: int) -> str:
    """One statement for many rows: every statement gives the interpreter's lock away and has to get it back."""
    return f"INSERT INTO inbox ({ADDED}) VALUES {values('(?,?,?,?,?,?,?,?,?,?,?,?,?)', count)}"


def _cells(entries: Sequence[Entry], now: int) -> list[object]:
    return [cell for tenant_id, _, columns in entries for cell in (*columns, tenant_id, now)]


def _new(notification: Notification) -> Receipt:
    return Receipt(notification.tenant, notification.key, Outcome.NEW)


def _newest(transaction: Transaction, count: int) -> set[tuple[int, bytes]]:
    """Tenant id and key of the rows that were just inserted: ``seq`` only grows, so they are the last ones."""
    cursor = transaction.execute("SELECT tenant_id, key FROM inbox ORDER BY seq DESC LIMIT ?", (count,))
    return set(cursor.fetchall())


def _receipt(transaction: Transaction, entry: Entry, fresh: set[tuple[int, bytes]]) -> Receipt:
    identity = (entry.tenant_id, entry.notification.key)
    if identity in fresh:
        fresh.discard(identity)  # the first of equal keys in a batch is the new one
        return _new(entry.notification)
    receipt = _not_new(transaction, entry)
    if receipt.outcome is not Outcome.NEW:
        transaction.count(entry.tenant_id, COUNTERS[receipt.outcome])
    return receipt


def _not_new(transaction: Transaction, entry: Entry) -> Receipt:
    if entry.tenant_id == NOBODY:
        return Receipt(entry.notification.tenant, entry.notification.key, Outcome.ERASED)
    return ON_EQUAL_KEY[entry.notification.identity](transaction, entry)


def _timed(transaction: Transaction, entry: Entry) -> Receipt:
    return Receipt(entry.notification.tenant, entry.notification.key, Outcome.DUPLICATE)


def _identified(transaction: Transaction, entry: Entry) -> Receipt:
    tenant_id, notification, _ = entry
    (content,) = transaction.execute(
        "SELECT content FROM inbox WHERE tenant_id = ? AND key = ?", (tenant_id, notification.key)
    ).fetchone()
    outcome = Outcome.DUPLICATE
    if notification.content is not None and content is not None and notification.content != content:
        _bury_row(transaction, tenant_id, _conflict(notification, notification.content, transaction.now))
        outcome = Outcome.CONFLICT
    return Receipt(notification.tenant, notification.key, outcome)


def _conflict(notification: Notification, content: bytes, now: int) -> DeadLetter:
    return DeadLetter(
        tenant=notification.tenant,
        reason=CONFLICT_REASON,
        detail="the same id came before with other content; that one was kept",
        digest=content,
        body=notification.body,
        key=notification.key,
        buried_at=from_millis(now),
    )


def _repeated(transaction: Transaction, entry: Entry) -> Receipt:
    """Equal content without a time: a redelivery, or the same thing said again?"""
    tenant_id, notification, columns = entry
    stem = notification.key[:-REPEAT_BYTES]
    key, repeat, state, received_at = transaction.execute(
        "SELECT key, repeat, state, received_at FROM inbox "
        "WHERE tenant_id = ? AND key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
        (tenant_id, with_repeat(stem, 0), stem + b"\xff" * REPEAT_BYTES),
    ).fetchone()
    if state in UNSETTLED or transaction.now - received_at <= REPEAT_MILLIS:
        return Receipt(notification.tenant, key, Outcome.DUPLICATE)
    next_key = with_repeat(stem, repeat + 1)
    _insert(transaction, [Entry(tenant_id, notification, (next_key, repeat + 1, *columns[2:]))])
    return Receipt(notification.tenant, next_key, Outcome.NEW)


ON_EQUAL_KEY = {Identity.TIMED: _timed, Identity.ID: _identified, Identity.CONTENT: _repeated}


def _bury(transaction: Transaction, tenant_id: int, letter: DeadLetter) -> None:
    if tenant_id == NOBODY:
        transaction.count(NOBODY, Counter.ERASED)
        return
    _bury_row(transaction, tenant_id, letter)
    transaction.count(tenant_id, Counter.DEAD_LETTER)


def _bury_row(transaction: Transaction, tenant_id: int, letter: DeadLetter) -> None:
    """Keep a dead letter; one that is in already is counted, not kept again."""
    buried_at = to_millis(letter.buried_at)
    transaction.execute(
        "INSERT INTO dead_letters (tenant_id, reason, digest, key, detail, body, buried_at, last_at) "
        "VALUES (?,?,?,?,?,?,?,?) "
        "ON CONFLICT (tenant_id, reason, digest) DO UPDATE SET count = count + 1, last_at = excluded.last_at",
        (
            tenant_id,
            letter.reason,
            letter.digest,
            letter.key,
            clipped(letter.detail),
            letter.body,
            buried_at,
            buried_at,
        ),
    )
