"""What becomes of arrivals: new, duplicate, conflict. Runs in the accepting committer.

The insert is the decision: nothing is looked up before it. One statement stores, counts and commits a batch of
notifications whose equal keys are duplicates whatever they hold (``Identity.TIMED``), as most are. For others a
transaction asks what an equal key means, on conflict only.

Everything a transaction locks has its place, so that two of them never wait for each other: tenants by id, rows by
key, those of repeated content, dead letters, channels' facts, minutes, totals.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Sequence

from subscriber.model import Outcome, Receipt, Tenant
from subscriber.store import Counter
from subscriber.store.postgres import equal_keys
from subscriber.store.postgres.arrivals import BY_KEY, GIVEN, INTO_INBOX, Arrival, Entry, bound, entries_of, insert
from subscriber.store.postgres.burial import Burial
from subscriber.store.postgres.channels import keep_facts
from subscriber.store.postgres.counters import MINUTE_MILLIS, NOBODY, WRITER, count
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.horizon import LOCK
from subscriber.store.postgres.tenants import tenant_ids

KNOWN_TENANTS = 10_000  # ids kept in memory; more than user tenants of any application
CHANNEL = "subscriber_arrivals"  # of NOTIFY
# A hint for those who wait is sent at most this often, and never inside the accepting transaction: a commit that
# notifies keeps all others of the database waiting.
ANNOUNCE_SECONDS = 0.05

COUNTERS = {
    Outcome.NEW: Counter.ACCEPTED,
    Outcome.DUPLICATE: Counter.DUPLICATE,
    Outcome.CONFLICT: Counter.CONFLICT,
    Outcome.ERASED: Counter.ERASED,
}

# Unless all of the tenants are still there, nothing happens at all.
AT_ONCE = f"""
    WITH {GIVEN},
    home AS MATERIALIZED (
        SELECT id FROM tenants WHERE id = ANY (%(tenants)s::bigint[]) AND state <> 'gone' ORDER BY id FOR KEY SHARE),
    welcome AS MATERIALIZED (SELECT count(*) = cardinality(%(tenants)s::bigint[]) AS all FROM home),
    inserted AS ({INTO_INBOX} WHERE (SELECT welcome.all FROM welcome) {BY_KEY}),
    told AS MATERIALIZED (
        SELECT tenant_id, sum(new) AS new, count(*) - 2 * sum(new) AS old FROM (
            SELECT tenant_id, 0 AS new FROM given UNION ALL SELECT tenant_id, 1 FROM inserted) AS both_kinds
        WHERE (SELECT welcome.all FROM welcome) GROUP BY tenant_id),
    counted AS (
        INSERT INTO minutes (minute, tenant_id, event, writer, count)
        SELECT (SELECT now FROM clock) / {MINUTE_MILLIS}, tenant_id, event, {WRITER}, times FROM (
            SELECT tenant_id, '{Counter.ACCEPTED}' AS event, new AS times FROM told
            UNION ALL SELECT tenant_id, '{Counter.DUPLICATE}', old FROM told) AS events
        WHERE times > 0 ORDER BY tenant_id, event
        ON CONFLICT (minute, tenant_id, event, writer) DO UPDATE SET count = minutes.count + excluded.count),
    totalled AS (
        INSERT INTO totals (tenant_id, event, writer, count)
        SELECT tenant_id, '{Counter.DUPLICATE}', {WRITER}, old FROM told WHERE old > 0 ORDER BY tenant_id
        ON CONFLICT (tenant_id, event, writer) DO UPDATE SET count = totals.count + excluded.count)
    SELECT ARRAY(SELECT seq FROM given), ARRAY(SELECT seq FROM inserted), (SELECT welcome.all FROM welcome)
"""


class Admission:
    """The accepting committer's ``Performer``. One thread uses it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[Tenant, int] = {}  # living tenants as last seen; the database refuses an id that is outdated
        self._announced_at = float("-inf")
        self._unannounced = False

    def perform(self, connection: Connection, works: Sequence[Arrival]) -> Sequence[list[Receipt]]:
        """The receipts of each arrival, in order."""
        receipts = self._at_once(connection, works)
        if receipts is None:
            with connection.transaction():
                receipts = self._admit(connection, works)
        self._unannounced |= any(receipt.outcome is Outcome.NEW for receipt in receipts)
        each = iter(receipts)
        return [[next(each) for _ in work.columns] for work in works]

    def follow_up(self, connection: Connection) -> float | None:
        """Wake whoever waits for something to lease, in this process and in others."""
        if not self._unannounced:
            return None
        wait_seconds = self._announced_at + ANNOUNCE_SECONDS - time.monotonic()
        if wait_seconds > 0:
            return wait_seconds
        connection.execute(f"NOTIFY {CHANNEL}")
        self._unannounced, self._announced_at = False, time.monotonic()
        return None

    def _at_once(self, connection: Connection, works: Sequence[Arrival]) -> list[Receipt] | None:
        """By one statement, which commits itself; None if that cannot be, and then nothing has changed."""
        entries = self._plain_entries(works)
        if entries is None:
            return None
        tenants = sorted({entry.tenant_id for entry in entries})
        known = {**bound(entries), "tenants": tenants, "now": self._database.told_millis()}
        ((seqs, inserted, welcome),) = connection.execute(AT_ONCE, known, binary=True).fetchall()
        if not welcome:
            return None
        fresh = set(inserted)
        return [
            entry.receipt(Outcome.NEW if seq in fresh else Outcome.DUPLICATE)
            for entry, seq in zip(entries, seqs, strict=True)
        ]

    def _plain_entries(self, works: Sequence[Arrival]) -> list[Entry] | None:
        """What one statement can decide: notifications of known tenants that carry their time, and nothing else."""
        if not all(work.plain for work in works):
            return None
        entries = entries_of(works, self._ids)
        return entries if entries and all(entry.tenant_id != NOBODY for entry in entries) else None

    def _admit(self, connection: Connection, works: Sequence[Arrival]) -> list[Receipt]:
        connection.execute(LOCK)
        now = self._database.now(connection)
        ids = self._learn(connection, now, works)
        tally: Tally[tuple[int, str]] = Tally()
        burial = Burial()
        receipts = _keep(connection, now, entries_of(works, ids), burial)
        for receipt in receipts:
            tally[ids[receipt.tenant], COUNTERS[receipt.outcome]] += 1
        for letter in (letter for work in works for letter in work.letters):
            living = ids[letter.tenant] != NOBODY
            tally[ids[letter.tenant], Counter.DEAD_LETTER if living else Counter.ERASED] += 1
            burial.add(ids[letter.tenant], letter)
        burial.carry_out(connection)
        keep_facts(connection, ids, [fact for work in works for fact in work.facts])
        count(connection, now, tally)
        return receipts

    def _learn(self, connection: Connection, now: int, works: Sequence[Arrival]) -> dict[Tenant, int]:
        """Ids of all tenants of these arrivals, as they are now and stay until the commit."""
        ids = tenant_ids(connection, now, {tenant for work in works for tenant in work.tenants()})
        if len(self._ids) > KNOWN_TENANTS:
            self._ids.clear()
        self._ids |= ids
        return ids


def _keep(connection: Connection, now: int, entries: Sequence[Entry], burial: Burial) -> list[Receipt]:
    """Insert what is not in yet and ask what the rest means. One receipt for each entry."""
    living = [entry for entry in entries if entry.tenant_id != NOBODY]
    fresh = insert(connection, now, living)
    old = [entry for entry, new in zip(living, fresh, strict=True) if not new]
    answers = iter(equal_keys.receipts(connection, now, old, burial))
    told = iter(
        [entry.receipt(Outcome.NEW) if new else next(answers) for entry, new in zip(living, fresh, strict=True)]
    )
    return [entry.receipt(Outcome.ERASED) if entry.tenant_id == NOBODY else next(told) for entry in entries]
