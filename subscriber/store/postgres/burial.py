"""Dead letters of one transaction, gathered and then written together: by key, each key once."""

from __future__ import annotations

from dataclasses import dataclass

from subscriber.model import DeadLetter, to_millis
from subscriber.store.cells import clipped
from subscriber.store.postgres.counters import NOBODY
from subscriber.store.postgres.driver import Connection

# As in the inbox: numbered as they came, inserted by key.
BURY = """
    WITH letter AS MATERIALIZED (
        SELECT nextval('dead_letters_id_seq') AS id, given.* FROM unnest(
            %(tenants)s::bigint[], %(reasons)s::text[], %(digests)b::bytea[], %(keys)b::bytea[], %(details)s::text[],
            %(bodies)b::bytea[], %(buried_at)s::bigint[], %(counts)s::bigint[], %(last_at)s::bigint[])
        AS given (tenant_id, reason, digest, key, detail, body, buried_at, count, last_at))
    INSERT INTO dead_letters (id, tenant_id, reason, digest, key, detail, body, buried_at, count, last_at)
    SELECT * FROM letter ORDER BY tenant_id, reason, digest
    ON CONFLICT (tenant_id, reason, digest)
    DO UPDATE SET count = dead_letters.count + excluded.count, last_at = excluded.last_at
"""
COLUMNS = ("tenants", "reasons", "digests", "keys", "details", "bodies", "buried_at", "counts", "last_at")


@dataclass(slots=True)
class Grave:
    """What is kept of equal letters: the first, how many there were, and when the last one came."""

    letter: DeadLetter
    count: int
    last_at: int


class Burial:
    """Of one transaction."""

    def __init__(self) -> None:
        self._graves: dict[tuple[int, str, bytes], Grave] = {}

    def add(self, tenant_id: int, letter: DeadLetter) -> None:
        """One letter; for an erased tenant nothing is kept."""
        if tenant_id == NOBODY:
            return
        grave = self._graves.setdefault((tenant_id, letter.reason, letter.digest), Grave(letter, 0, 0))
        grave.count += 1
        grave.last_at = to_millis(letter.buried_at)

    def carry_out(self, connection: Connection) -> None:
        """Keep what is new; a letter that is in already is counted, not kept again."""
        if not self._graves:
            return
        rows = [_row(tenant_id, grave) for (tenant_id, _, _), grave in self._graves.items()]
        connection.execute(BURY, dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def _row(tenant_id: int, grave: Grave) -> tuple[object, ...]:
    letter = grave.letter
    return (
        tenant_id,
        letter.reason,
        letter.digest,
        letter.key,
        clipped(letter.detail),
        letter.body,
        to_millis(letter.buried_at),
        grave.count,
        grave.last_at,
    )
