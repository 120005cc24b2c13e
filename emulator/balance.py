"""Does it add up? What a broker saw acknowledged, held against what a service kept and what it did.

Used by the demonstration and by every journey: the sender's ledger is one witness, the service's own list of
rows the second, whoever received the effects the third. It counts published messages, not bodies: equal bodies
published twice are two messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Everything that must be 0, beside how much there was."""

    published: int  # messages x subscriptions
    attempts: int  # requests the broker made for them
    acknowledged: int
    accepted: int  # rows in the inbox
    handled: int  # effects seen by the receiver, each id once
    lost: int  # acknowledged, yet not in the inbox
    unacknowledged: int  # neither acknowledged nor expired when the books were closed
    invented: int  # in the inbox, yet never published
    admitted_twice: int  # more rows than messages of that content
    handled_twice: int  # effects that came again
    unhandled: int  # accepted, yet without an effect

    @property
    def even(self) -> bool:
        return not (
            self.lost
            or self.unacknowledged
            or self.invented
            or self.admitted_twice
            or self.handled_twice
            or self.unhandled
        )

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def balance(items: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]], effects: Iterable[str]) -> Balance:
    """``items``: the emulator's ledger items. ``rows``: ``tenant`` (platform/name), ``id`` and ``body_sha256`` of
    each inbox row, and ``handled`` where the row itself tells of its effect. ``effects``: the id of each effect, as
    often as it was seen. Each is read once, from its beginning to its end.
    """
    seen = Counter(effects)
    sent = _Sent(items)
    accepted: Counter[str] = Counter()
    handled = Counter({True: len(seen)})
    for row in rows:
        accepted[f"{row['tenant']} {row['body_sha256']}"] += 1
        if "handled" in row:
            handled[row["handled"]] += 1
        elif row["id"] not in seen:
            handled[False] += 1
    surplus = accepted - sent.published
    return Balance(
        published=sent.published.total(),
        attempts=sent.attempts,
        acknowledged=sent.acknowledged.total(),
        accepted=accepted.total(),
        handled=handled[True],
        lost=(sent.acknowledged - accepted).total(),
        unacknowledged=sent.pending,
        invented=sum(count for content, count in surplus.items() if content not in sent.published),
        admitted_twice=sum(count for content, count in surplus.items() if content in sent.published),
        handled_twice=seen.total() - len(seen),
        unhandled=handled[False],
    )


class _Sent:
    """The ledger's items, added up one by one: a large run has a million of them."""

    def __init__(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.published: Counter[str] = Counter()  # by content
        self.acknowledged: Counter[str] = Counter()
        self.attempts = self.pending = 0
        for item in items:
            content = _content(item)
            self.published[content] += 1
            if item["acknowledged"]:
                self.acknowledged[content] += 1
            self.attempts += item["attempts"]
            self.pending += item["state"] == "pending"


def _content(item: Mapping[str, Any]) -> str:
    """Tenant as the inbox names it, and body. MindSphere's items do not name their platform."""
    return f"{item.get('platform', 'mindsphere')}/{item['tenant']} {item['body_sha256']}"
