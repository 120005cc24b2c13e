"""Items without id and time: is this callback the last one again?

Pure. Equal content says nothing here: a value is reported again because it is due, a button is pressed again, a
device goes and comes. Only in one place is it sound to take an item for one that was stored before: callbacks of a
channel follow one another, each sent again until its answer has arrived, so a repetition can only be of the *last*
one, and only if its answer may have been lost. Then, if a callback begins with all of the last one's items, array by
array, it is the last one, perhaps with newer items behind. It gets the number of that one, and so its items get the
keys they had: the inbox finds the duplicates. Every other callback has a number of its own.

Two facts are kept of a channel: what was stored last, in the very transaction that stores it, and which number's
answer is known to have left. A crash between the two leaves doubt, which is what there is.

Both begin with a number and are never turned back: a process that stood still with a callback, while others took it
and the next ones, would otherwise have that one's number given again, and equal items there taken for known ones.

On a WebSocket nothing is ever sent again on purpose, so there every message has a number of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from subscriber.model import from_millis, to_millis
from subscriber.platforms.content import TIME_BYTES, time_bytes

STORED, ANSWERED = "stored", "answered"  # names of a channel's two facts
MARK_BYTES = 8  # of an item; a collision would have to happen at the same place of two callbacks in a row
NUMBER_BYTES = TIME_BYTES  # numbers lead keys as times do elsewhere
COUNT_BYTES = 4

Marks = Mapping[bytes, bytes]
"""By the mark of a category: the marks of its items without id and time, one after another."""


class Last(NamedTuple):
    """The last callback that was stored."""

    number: int  # only grows; 0: there was none
    received_at: datetime
    marks: Marks

    @classmethod
    def read(cls, value: bytes) -> Last:
        """From the fact's value, empty at first. Raises ``ValueError`` for a value that was not made here."""
        marks: dict[bytes, bytes] = {}
        at = NUMBER_BYTES + TIME_BYTES
        while at < len(value):
            start = at + MARK_BYTES + COUNT_BYTES
            end = start + MARK_BYTES * int.from_bytes(value[at + MARK_BYTES : start], "big")
            marks[value[at : at + MARK_BYTES]] = value[start:end]
            at = end
        if value and at != len(value):
            raise ValueError("not the memory of a channel")
        received_at = from_millis(int.from_bytes(value[NUMBER_BYTES : NUMBER_BYTES + TIME_BYTES], "big"))
        return cls(number_from(value[:NUMBER_BYTES]), received_at, marks)

    @property
    def value(self) -> bytes:
        """What to keep: 8 bytes for each item without id and time."""
        groups = (
            category + (len(marks) // MARK_BYTES).to_bytes(COUNT_BYTES, "big") + marks
            for category, marks in self.marks.items()
        )
        return number_value(self.number) + time_bytes(self.received_at) + b"".join(groups)

    def begins(self, marks: Marks) -> bool:
        """Does a callback with these marks begin with all of this one?"""
        return bool(self.marks) and all(marks.get(name, b"").startswith(mine) for name, mine in self.marks.items())

    def next_number(self, received_at: datetime) -> int:
        """Of a callback that is another one. The first is counted from the time, should ever the memory be lost."""
        return self.number + 1 if self.number else to_millis(received_at)


def number_value(number: int) -> bytes:
    """A number as the fact ANSWERED keeps it, and as a key begins."""
    return number.to_bytes(NUMBER_BYTES, "big")


def number_from(value: bytes) -> int:
    """The number kept in ANSWERED; 0 if nothing is."""
    return int.from_bytes(value, "big")


def mark(digest: bytes) -> bytes:
    """An item's mark, from the digest of its canonical content."""
    return digest[:MARK_BYTES]


def category_mark(category: str) -> bytes:
    """A category's mark."""
    return blake2b(category.encode(), digest_size=MARK_BYTES).digest()
