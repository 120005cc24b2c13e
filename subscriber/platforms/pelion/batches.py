"""A notification message into notifications and dead letters. Never raises: what cannot be read is kept.

Pure. One bad item becomes a dead letter and takes nothing along. Where a message stops being JSON, what came before
counts, and the whole of it is kept as a dead letter. Arrays that nobody knows are notifications of that category.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from subscriber.errors import MalformedDelivery
from subscriber.model import DETAIL_CHARS, PELION, DeadLetter, Identity, Notification, Tenant, to_millis
from subscriber.platforms.content import DIGEST_BYTES, NAME_CHARS, TIME_BYTES
from subscriber.platforms.pelion.items import Item, read_item
from subscriber.platforms.pelion.resends import MARK_BYTES, category_mark, mark, number_value
from subscriber.platforms.pelion.splitting import Member, members

# A message has at most 10,000 items, by later documents 20,000. More would keep the store's writer for too long, and
# the marks of so many still fit into a channel's fact.
MAX_ITEMS = 50_000
SHOWN_CHARS = 64  # of a category in the detail of a dead letter


class Entry(NamedTuple):
    """One item of a message. ``place`` counts equal ones with a time, or those of a category without one."""

    category: str
    text: bytes
    item: Item
    place: int


class Batch:
    """A message as it was read, for one channel. Without ``marks`` (see ``resends``) each item speaks for itself."""

    def __init__(self, channel: str, received_at: datetime) -> None:
        self.tenant = Tenant(PELION, channel)
        self.received_at = received_at
        self.dead_letters: list[DeadLetter] = []
        self._entries: list[Entry] = []
        self._marks: dict[str, bytearray] = {}
        self._equal: Counter[tuple[bytes, int]] = Counter()
        self._count = 0

    @property
    def holds_nothing(self) -> bool:
        """A probe of the address, or a message without a single item."""
        return not (self._entries or self.dead_letters)

    @property
    def marks(self) -> dict[bytes, bytes]:
        return {category_mark(category): bytes(marks) for category, marks in self._marks.items()}

    def notifications(self, number: int) -> list[Notification]:
        """In the order of the message. ``number``: of this delivery, the same again if it is the same again."""
        return [self._notification(entry, number) for entry in self._entries]

    def add(self, message: bytes) -> None:
        """Read a message into this batch."""
        try:
            for member in members(message):
                self._add_member(member)
        except MalformedDelivery as error:
            self._bury(error.detail, error.reason, message, message)

    def _add_member(self, member: Member) -> None:
        if member.items is None:
            if member.text != b"null":
                error = MalformedDelivery("a member that is no array", reason="category")
                self._set_aside(member.name, member.text, error)
            return
        usable = _usable(member.name)
        for text in member.items:
            self._count += 1
            if self._count > MAX_ITEMS:
                raise MalformedDelivery(f"more than {MAX_ITEMS} items", reason="too_many")
            try:
                if not usable:
                    raise MalformedDelivery("no usable category", reason="topic")
                self._add_item(member.name, text)
            except MalformedDelivery as error:
                self._set_aside(member.name, text, error)

    def _add_item(self, category: str, text: bytes) -> None:
        item = read_item(category, text)
        place = 0
        if item.millis and not item.id:
            place = self._equal[item.digest, item.millis]
            self._equal[item.digest, item.millis] += 1
        elif not item.id:
            marks = self._marks.setdefault(category, bytearray())
            place = len(marks) // MARK_BYTES
            marks += mark(item.digest)
        self._entries.append(Entry(category, text, item, place))

    def _set_aside(self, category: str, text: bytes, error: MalformedDelivery) -> None:
        self._bury(
            f"{category[:SHOWN_CHARS]}: {error.detail}", error.reason, category.encode() + b"\x1f" + text, text
        )

    def _bury(self, detail: str, reason: str, identity: bytes, body: bytes) -> None:
        letter = DeadLetter(
            tenant=self.tenant,
            reason=reason,
            detail=detail[:DETAIL_CHARS],
            digest=blake2b(identity, digest_size=DIGEST_BYTES).digest(),
            body=body,
            buried_at=self.received_at,
        )
        self.dead_letters.append(letter)

    def _notification(self, entry: Entry, number: int) -> Notification:
        item = entry.item
        return Notification(
            tenant=self.tenant,
            key=item.id or _key(entry, number),
            identity=Identity.ID if item.id else Identity.TIMED,
            content=item.digest if item.id else None,
            topic=entry.category,
            channel=self.tenant.name,
            source=item.source,
            occurred_at=item.occurred_at,
            received_at=self.received_at,
            body=entry.text,
        )


def _usable(category: str) -> bool:
    """Does a column take it?"""
    return 0 < len(category) <= NAME_CHARS and category.isprintable()


def _key(entry: Entry, number: int) -> bytes:
    """Content and its time; or, for want of one, the delivery's number, the content and its place there."""
    item = entry.item
    if item.millis:
        leading, place = item.millis.to_bytes(TIME_BYTES, "big"), b"%d" % entry.place
    else:
        leading, place = number_value(number), b"#%d" % entry.place  # never equal to one with a time
    return leading + blake2b(item.digest + place, digest_size=DIGEST_BYTES, person=b"pelion").digest()


def read_batch(channel: str, message: bytes, received_at: datetime) -> Batch:
    """A message of this channel, empty or not."""
    batch = Batch(channel, received_at)
    batch.add(message)
    return batch


class Reading(NamedTuple):
    """What came of one message."""

    notifications: list[Notification]
    dead_letters: list[DeadLetter]


class Messages:
    """The messages of one WebSocket channel, which are never sent again: each has a number of its own."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._number = 0

    def read(self, message: bytes, received_at: datetime) -> Reading:
        """Messages in the order they came."""
        self._number = max(self._number + 1, to_millis(received_at))
        batch = read_batch(self._channel, message, received_at)
        return Reading(batch.notifications(self._number), batch.dead_letters)
