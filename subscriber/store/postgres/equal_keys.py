"""What an equal key means where it need not be a duplicate: see ``Inbox.add``.

Asked in the transaction of the insert that met it, for all entries of a kind at once: such entries come in swarms.
"""

from __future__ import annotations

from collections.abc import Sequence

from subscriber.model import REPEAT_BYTES, DeadLetter, Identity, Outcome, Receipt, State, from_millis, with_repeat
from subscriber.store import REPEAT_WINDOW
from subscriber.store.postgres.arrivals import Entry, insert
from subscriber.store.postgres.burial import Burial
from subscriber.store.postgres.driver import Connection

REPEAT_MILLIS = int(REPEAT_WINDOW.total_seconds() * 1000)
CONFLICT_REASON = "conflicting_duplicate"
UNSETTLED = (State.PENDING, State.RUNNING)
LAST_REPEAT = b"\xff" * REPEAT_BYTES

ASKED = "unnest(%(tenants)s::bigint[], %(keys)b::bytea[]) AS asked (tenant_id, key)"
CONTENTS = f"SELECT tenant_id, key, content FROM inbox JOIN {ASKED} USING (tenant_id, key)"
# Of content that came several times, all keys share the stem: the latest copy is the last of them.
LATEST = f"""
    SELECT asked.tenant_id, asked.key, latest.* FROM {ASKED} CROSS JOIN LATERAL (
        SELECT key, repeat, state, received_at FROM inbox
        WHERE tenant_id = asked.tenant_id AND key >= asked.key
        AND key <= substr(asked.key, 1, length(asked.key) - {REPEAT_BYTES}) || %(last)b::bytea
        ORDER BY key DESC LIMIT 1) AS latest
"""

Which = tuple[int, bytes]  # tenant id and key


def receipts(connection: Connection, now: int, entries: Sequence[Entry], burial: Burial) -> list[Receipt]:
    """One for each of the entries, whose keys are all in already. Dead letters go to ``burial``."""
    of_kind = {kind: [entry for entry in entries if entry.notification.identity is kind] for kind in Identity}
    answers = {
        Identity.TIMED: iter([entry.receipt(Outcome.DUPLICATE) for entry in of_kind[Identity.TIMED]]),
        Identity.ID: iter(_identified(connection, now, of_kind[Identity.ID], burial)),
        Identity.CONTENT: iter(_repeated(connection, now, of_kind[Identity.CONTENT])),
    }
    return [next(answers[entry.notification.identity]) for entry in entries]


def _identified(connection: Connection, now: int, entries: Sequence[Entry], burial: Burial) -> list[Receipt]:
    """The same id: duplicates unless the content is known to differ."""
    if not entries:
        return []
    rows = connection.execute(CONTENTS, _asked(entries), binary=True).fetchall()
    contents = {(tenant_id, key): content for tenant_id, key, content in rows}
    found = []
    for entry in entries:
        content, kept = entry.notification.content, contents.get(_which(entry))
        conflict = content is not None and kept is not None and content != kept
        if conflict:
            burial.add(entry.tenant_id, _conflicting(entry, now))
        found.append(entry.receipt(Outcome.CONFLICT if conflict else Outcome.DUPLICATE))
    return found


def _conflicting(entry: Entry, now: int) -> DeadLetter:
    notification = entry.notification
    assert notification.content is not None
    return DeadLetter(
        tenant=notification.tenant,
        reason=CONFLICT_REASON,
        detail="the same id came before with other content; that one was kept",
        digest=notification.content,
        body=notification.body,
        key=notification.key,
        buried_at=from_millis(now),
    )


def _repeated(connection: Connection, now: int, entries: Sequence[Entry]) -> list[Receipt]:
    """Equal content without a time: a redelivery, or the same thing said again?"""
    if not entries:
        return []
    known = {**_asked(entries), "last": LAST_REPEAT}
    latest: dict[Which, bytes] = {}  # the key of the copy that an entry is a duplicate of
    again: dict[Which, Entry] = {}  # what is said again, as a row of its own
    first = {_which(entry): entry for entry in reversed(entries)}
    for tenant_id, key, latest_key, repeat, state, received_at in connection.execute(LATEST, known, binary=True):
        which = (tenant_id, key)
        latest[which] = latest_key
        if state not in UNSETTLED and now - received_at > REPEAT_MILLIS:
            again[which] = _said_again(first[which], repeat + 1)
            latest[which] = again[which].columns[0]  # type: ignore[assignment]
    # A row of this key that another process has just inserted is the copy that ours is a duplicate of.
    fresh = dict(zip(again, insert(connection, now, list(again.values())), strict=True))
    return [
        Receipt(
            entry.notification.tenant,
            latest.get(_which(entry), entry.notification.key),
            Outcome.NEW if fresh.pop(_which(entry), False) else Outcome.DUPLICATE,
        )
        for entry in entries
    ]


def _said_again(entry: Entry, repeat: int) -> Entry:
    key = with_repeat(entry.notification.key[:-REPEAT_BYTES], repeat)
    return Entry(entry.tenant_id, entry.notification, (key, repeat, *entry.columns[2:]))


def _which(entry: Entry) -> Which:
    return entry.tenant_id, entry.notification.key


def _asked(entries: Sequence[Entry]) -> dict[str, object]:
    which = sorted({_which(entry) for entry in entries})
    return {"tenants": [tenant_id for tenant_id, _ in which], "keys": [key for _, key in which]}
