"""What channels remember and how they are; see ``Inbox.add`` and ``store.Registry``.

Whoever writes here holds the rows of the tenants (``tenants``), so that nothing slips in behind an erasure. Rows go
in by key. A channel has one owner at a time, who alone writes of it; should a former one still write, its batch may
meet the other's locks, and the committer does it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from subscriber.model import Tenant
from subscriber.store import ChannelFact, ChannelRow
from subscriber.store.cells import CHANNEL, channel_columns, settled
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.driver import Connection
from subscriber.store.postgres.tenants import tenant_ids

FACT = (
    "SELECT value FROM channel_facts WHERE tenant_id = (SELECT id FROM tenants WHERE platform = %s AND name = %s) "
    "AND channel = %s AND name = %s"
)
CHANNELS = f"SELECT {CHANNEL} FROM channels JOIN tenants ON tenants.id = tenant_id"
IN_ORDER = "ORDER BY platform, tenants.name, channel, channels.name"
ALL_CHANNELS = f"{CHANNELS} {IN_ORDER}"
CHANNELS_OF = f"{CHANNELS} WHERE platform = %s {IN_ORDER}"
PUT_FACTS = """
    INSERT INTO channel_facts (tenant_id, channel, name, value)
    SELECT * FROM unnest(%(tenants)s::bigint[], %(channels)s::text[], %(names)s::text[], %(values)b::bytea[])
    AS fact (tenant_id, channel, name, value) ORDER BY tenant_id, channel, name
    ON CONFLICT (tenant_id, channel, name) DO UPDATE SET value = excluded.value
"""
PUT_GROWING_FACTS = f"{PUT_FACTS} WHERE excluded.value > channel_facts.value"
FORGET_FACTS = """
    DELETE FROM channel_facts USING unnest(%(tenants)s::bigint[], %(channels)s::text[], %(names)s::text[])
    AS place (tenant_id, channel, name)
    WHERE channel_facts.tenant_id = place.tenant_id AND channel_facts.channel = place.channel
    AND channel_facts.name = place.name
"""
PUT = """
    INSERT INTO channels (tenant_id, channel, name, state, detail, since, seen_at)
    SELECT tenant_id, channel, name, state, detail, since, %(now)s
    FROM unnest(%(tenants)s::bigint[], %(channels)s::text[], %(names)s::text[], %(states)s::text[],
        %(details)s::text[], %(since)s::bigint[])
    AS given (tenant_id, channel, name, state, detail, since) ORDER BY tenant_id, channel, name
    ON CONFLICT (tenant_id, channel, name) DO UPDATE
    SET state = excluded.state, detail = excluded.detail, since = excluded.since, seen_at = excluded.seen_at
"""
REMOVE = """
    DELETE FROM channels USING tenants, unnest(
        %(platforms)s::text[], %(tenants)s::text[], %(channels)s::text[], %(names)s::text[])
    AS place (platform, tenant, channel, name)
    WHERE tenants.platform = place.platform AND tenants.name = place.tenant AND channels.tenant_id = tenants.id
    AND channels.channel = place.channel AND channels.name = place.name
"""
PLACE = ("tenants", "channels", "names")


def keep_facts(connection: Connection, ids: Mapping[Tenant, int], facts: Iterable[ChannelFact]) -> None:
    """Write what counts of each place. ``ids``: of their tenants, ``NOBODY`` for one that is gone."""
    known = [(place, fact) for place, fact in settled(ids, facts).items() if place[0] != NOBODY]
    for statement, grows in ((PUT_FACTS, False), (PUT_GROWING_FACTS, True)):
        put = [(*place, fact.value) for place, fact in known if fact.value and fact.grows is grows]
        if put:
            connection.execute(statement, _columns((*PLACE, "values"), put))
    forgotten = [place for place, fact in known if not fact.value]
    if forgotten:
        connection.execute(FORGET_FACTS, _columns(PLACE, forgotten))


def put_channels(rows: Sequence[ChannelRow], connection: Connection, now: int) -> None:
    ids = tenant_ids(connection, now, {row.tenant for row in rows})
    last = {(ids[row.tenant], row.channel, row.name): row for row in rows if ids[row.tenant] != NOBODY}
    if last:
        cells = [(tenant_id, *channel_columns(row)) for (tenant_id, _, _), row in last.items()]
        connection.execute(PUT, {**_columns((*PLACE, "states", "details", "since"), cells), "now": now})


def remove_channels(rows: Sequence[ChannelRow], connection: Connection, now: int) -> None:
    if rows:
        cells = [(*row.tenant, row.channel, row.name) for row in rows]
        connection.execute(REMOVE, _columns(("platforms", *PLACE), cells))


def _columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, object]:
    """A list for each parameter."""
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
