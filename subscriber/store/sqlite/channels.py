"""What channels remember and how they are; see ``Inbox.add`` and ``store.Registry``.

Rows of a tenant that is gone are never written: erasing has taken them, and nothing slips in behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from subscriber.model import Tenant
from subscriber.store import ChannelFact, ChannelRow
from subscriber.store.cells import CHANNEL, channel_columns, settled
from subscriber.store.sqlite.transaction import LARGEST_STATEMENT_ROWS, NOBODY, Transaction, values

FACT = (
    "SELECT value FROM channel_facts WHERE tenant_id = (SELECT id FROM tenants WHERE platform = ? AND name = ?) "
    "AND channel = ? AND name = ?"
)
CHANNELS = (
    f"SELECT {CHANNEL} FROM channels JOIN tenants ON tenants.id = tenant_id "
    "WHERE ?1 IS NULL OR platform = ?1 ORDER BY platform, tenants.name, channel, channels.name"
)
PUT_FACT = (
    "INSERT INTO channel_facts (tenant_id, channel, name, value) VALUES (?,?,?,?) "
    "ON CONFLICT (tenant_id, channel, name) DO UPDATE SET value = excluded.value"
)
PUT_GROWING_FACT = f"{PUT_FACT} WHERE excluded.value > channel_facts.value"
FORGET_FACT = "DELETE FROM channel_facts WHERE tenant_id = ? AND channel = ? AND name = ?"
REMOVE = (
    "DELETE FROM channels WHERE tenant_id = (SELECT id FROM tenants WHERE platform = ? AND name = ?) "
    "AND channel = ? AND name = ?"
)


def keep_facts(transaction: Transaction, ids: Mapping[Tenant, int], facts: Iterable[ChannelFact]) -> None:
    """Write what counts of each place. ``ids``: of their tenants, ``NOBODY`` for one that is gone."""
    for place, fact in settled(ids, facts).items():
        if place[0] == NOBODY:
            continue
        if fact.value:
            transaction.execute(PUT_GROWING_FACT if fact.grows else PUT_FACT, (*place, fact.value))
        else:
            transaction.execute(FORGET_FACT, place)


def put_channels(rows: Sequence[ChannelRow], transaction: Transaction) -> None:
    ids = transaction.tenant_ids(row.tenant for row in rows)
    living = [row for row in rows if ids[row.tenant] != NOBODY]
    for start in range(0, len(living), LARGEST_STATEMENT_ROWS):
        chunk = living[start : start + LARGEST_STATEMENT_ROWS]
        cells = [cell for row in chunk for cell in (ids[row.tenant], *channel_columns(row), transaction.now)]
        transaction.execute(_put(len(chunk)), cells)


@cache
def _put(count: int) -> str:
    return (
        "INSERT INTO channels (tenant_id, channel, name, state, detail, since, seen_at) "
        f"VALUES {values('(?,?,?,?,?,?,?)', count)} ON CONFLICT (tenant_id, channel, name) DO UPDATE "
        "SET state = excluded.state, detail = excluded.detail, since = excluded.since, seen_at = excluded.seen_at"
    )


def remove_channels(rows: Sequence[ChannelRow], transaction: Transaction) -> None:
    for row in rows:
        transaction.execute(REMOVE, (*row.tenant, row.channel, row.name))
