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
    each inbox row. ``effects``: the id of each effect, as often as it was seen.
    """
    sent = list(items)
    kept = list(rows)
    seen = Counter(effects)
    published = Counter(_content(item) for item in sent)
    acknowledged = Counter(_content(item) for item in sent if item["acknowledged"])
    accepted = Counter((row["tenant"], row["body_sha256"]) for row in kept)
    return Balance(
        published=len(sent),
        attempts=sum(item["attempts"] for item in sent),
        acknowledged=acknowledged.total(),
        accepted=len(kept),
        handled=len(seen),
        lost=(acknowledged - accepted).total(),
        unacknowledged=sum(item["state"] == "pending" for item in sent),
        invented=sum(count for content, count in accepted.items() if content not in published),
        admitted_twice=sum(
            max(0, count - published[content]) for content, count in accepted.items() if content in published
        ),
        handled_twice=seen.total() - len(seen),
        unhandled=sum(row["id"] not in seen for row in kept),
    )


def _content(item: Mapping[str, Any]) -> tuple[str, str]:
    """Tenant as the inbox names it, and body. MindSphere's items do not name their platform."""
    return f"{item.get('platform', 'mindsphere')}/{item['tenant']}", item["body_sha256"]
