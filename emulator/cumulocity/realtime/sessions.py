"""Sessions: who listens to which channels, what waits for them, what they have not confirmed. No I/O, no clock.

Bayeux, with its acknowledgement extension: a connect takes along everything that waits, as a batch. Without
acknowledgement a batch is forgotten when its answer was written, and goes to the end of the queue when the platform
itself notices that writing failed. With it, batches are numbered and kept until a connect names their number or a
higher one; what an earlier number leaves unconfirmed is sent again first.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from emulator.cumulocity.documents import Document
from emulator.cumulocity.realtime.advice import Advice
from emulator.cumulocity.realtime.book import Delivery
from emulator.cumulocity.realtime.poll import Poll

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_CHARS = 24  # the platform's have twenty and more


class Family(StrEnum):
    """Which endpoints a session belongs to; each has channels of its own."""

    OPERATIONS = "operations"
    REALTIME = "realtime"


class Group(NamedTuple):
    """Rows that one X-Id's templates made of one notification."""

    x_id: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(slots=True, eq=False)
class Parcel:
    """One notification for one session: groups of rows, or a message."""

    deliveries: list[Delivery]
    groups: tuple[Group, ...] = ()
    marked: bool = False  # several X-Ids are in play: each group is preceded by row 87
    message: Document | None = None


class Batch(NamedTuple):
    """What one answer carries. The number is 0 where nothing is to be confirmed."""

    number: int
    parcels: list[Parcel]

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for parcel in self.parcels for delivery in parcel.deliveries]


@dataclass(slots=True, eq=False)
class Session:
    """One conversation."""

    tenant: str
    user: str
    family: Family
    x_id: str  # of the handshake's header; empty: it speaks JSON
    reliable: bool
    contact: float  # when it was last heard of, emulator seconds
    id: str = field(default_factory=lambda: "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARS)))
    subscriptions: dict[str, tuple[str, ...]] = field(default_factory=dict)  # further X-Ids by channel
    queue: deque[Parcel] = field(default_factory=deque)
    unconfirmed: deque[Batch] = field(default_factory=deque)
    number: int = 0  # of the last batch
    told: Advice | None = None  # what its client knows
    advised: Advice = field(default_factory=Advice)  # for this session alone, above what holds for all
    poll: Poll | None = None
    connects: int = 0

    def draw(self, *, empty_too: bool = True) -> Batch:
        """Everything that waits. ``empty_too``: nothing at all has a number too."""
        parcels = list(self.queue)
        self.queue.clear()
        if not self.reliable or not (parcels or empty_too):
            return Batch(0, parcels)
        self.number += 1
        batch = Batch(self.number, parcels)
        if parcels:
            self.unconfirmed.append(batch)
        return batch

    def put_back(self, batch: Batch) -> None:
        """Its answer could not be written."""
        if not self.reliable:
            self.queue.extend(batch.parcels)

    def confirm(self, number: int) -> list[Delivery]:
        """The client has that batch and all before; what is left waits again. The answer: what is done."""
        done: list[Delivery] = []
        while self.unconfirmed and self.unconfirmed[0].number <= number:
            done += self.unconfirmed.popleft().deliveries
        left = [parcel for batch in self.unconfirmed for parcel in batch.parcels]
        self.unconfirmed.clear()
        self.queue.extendleft(reversed(left))
        return done

    def waiting(self) -> list[Delivery]:
        """All that has not come to an end."""
        kept = [delivery for batch in self.unconfirmed for delivery in batch.deliveries]
        return kept + [delivery for parcel in self.queue for delivery in parcel.deliveries]


Place = tuple[str, Family, str]  # tenant, endpoints, channel


class Sessions:
    """All of them, by id and by channel."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._at: dict[Place, dict[str, Session]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def add(self, session: Session) -> None:
        self._by_id[session.id] = session

    def get(self, id: str) -> Session | None:
        return self._by_id.get(id)

    def remove(self, session: Session) -> None:
        self._by_id.pop(session.id, None)
        for channel in list(session.subscriptions):
            self.unsubscribe(session, channel)

    def subscribe(self, session: Session, channel: str, x_ids: Iterable[str]) -> None:
        """The same channel again replaces its X-Ids."""
        session.subscriptions[channel] = tuple(x_ids)
        self._at.setdefault((session.tenant, session.family, channel), {})[session.id] = session

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Of a channel it has not, nothing."""
        session.subscriptions.pop(channel, None)
        place = (session.tenant, session.family, channel)
        self._at.get(place, {}).pop(session.id, None)
        if not self._at.get(place):
            self._at.pop(place, None)

    def at(self, tenant: str, family: Family, channel: str) -> list[Session]:
        """Who listens there, oldest subscription first."""
        return list(self._at.get((tenant, family, channel), {}).values())
