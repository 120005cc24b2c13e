"""The exact bytes of each item in a notification message, without ever building the whole of it.

Pure. A message may have 64 MiB; as Python objects it would take several times that, and writing an item anew would
not be what was sent. So brackets and strings are followed here, as RFC 8259 has them, and nothing else is looked at:
whether an item is JSON is seen when it is parsed. For any text that is JSON the cuts are right; of a text that is
not, what can be cut out is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from subscriber.errors import MalformedDelivery
from subscriber.model import DETAIL_CHARS

STRING = rb'"(?:[^"\\]++|\\.)*+"'
BLANKS = rb"[ \t\r\n]*+"
# A value without brackets in it, which nearly all items are, in one step of the regular expressions' machine; the
# same with what separates it from the next item.
FLAT = rb"(?:\{(?:[^\"{}\[\]]++|" + STRING + rb")*+\}|" + STRING + rb"|[^\"{}\[\],: \t\r\n]++)"
VALUE = re.compile(FLAT, re.DOTALL)
ITEM = re.compile(BLANKS + rb"(" + FLAT + rb")" + BLANKS + rb"([,\]])", re.DOTALL)
MARK = re.compile(rb"[{}\[\]]|" + STRING, re.DOTALL)  # what nesting consists of
BLANK = re.compile(BLANKS)
OPENING = b"{["


class Member(NamedTuple):
    """One member of the message: an array item by item, or the text of what is none."""

    name: str
    items: Iterator[bytes] | None  # to be taken before the next member is asked for
    text: bytes  # empty for an array


class Cursor:
    """A place in the text, going forward only."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> bytes:
        """The next character that is not blank; empty at the end."""
        found = BLANK.match(self.text, self.at)
        assert found is not None  # no blank is a match as well
        self.at = found.end()
        return self.text[self.at : self.at + 1]

    def expect(self, wanted: bytes) -> bytes:
        """Step over one of these characters, and say which."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.broken(f"expected one of {wanted.decode()}")
        self.at += 1
        return found

    def value(self) -> bytes:
        """Step over one value; its text."""
        self.peek()
        start = self.at
        flat = VALUE.match(self.text, start)
        self.at = self._end_of_nesting(start) if flat is None else flat.end()
        return self.text[start : self.at]

    def _end_of_nesting(self, start: int) -> int:
        if self.text[start : start + 1] not in (b"{", b"["):
            raise self.broken("expected a value")
        depth = 0
        for mark in MARK.finditer(self.text, start):
            kind = self.text[mark.start()]
            if kind in OPENING:
                depth += 1
            elif kind != ord('"'):
                depth -= 1
                if depth == 0:
                    return mark.end()
        raise self.broken("a value without an end")

    def broken(self, why: str) -> MalformedDelivery:
        return MalformedDelivery(f"not JSON: {why} at byte {self.at}"[:DETAIL_CHARS], reason="json")


def members(message: bytes) -> Iterator[Member]:
    """The members of the message, in order; none for an empty one.

    Raises ``MalformedDelivery`` where it stops being an object of arrays; what came before stands.
    """
    cursor = Cursor(message)
    if not cursor.peek():
        return
    cursor.expect(b"{")
    if cursor.peek() == b"}":
        cursor.at += 1
    else:
        yield from _members(cursor)
    if cursor.peek():
        raise cursor.broken("expected nothing more")


def _members(cursor: Cursor) -> Iterator[Member]:
    separator = b","
    while separator == b",":
        name = _name(cursor)
        cursor.expect(b":")
        if cursor.peek() == b"[":
            items = _items(cursor)
            yield Member(name, items, b"")
            for _ in items:
                pass  # not taken: step over them
        else:
            yield Member(name, None, cursor.value())
        separator = cursor.expect(b",}")


def _name(cursor: Cursor) -> str:
    if cursor.peek() != b'"':
        raise cursor.broken("expected a member's name")
    try:
        return str(orjson.loads(cursor.value()))
    except orjson.JSONDecodeError as error:
        raise cursor.broken("a member's name that is no text") from error


def _items(cursor: Cursor) -> Iterator[bytes]:
    cursor.expect(b"[")
    if cursor.peek() == b"]":
        cursor.at += 1
        return
    separator = b","
    while separator == b",":
        if flat := ITEM.match(cursor.text, cursor.at):
            cursor.at = flat.end()
            item, separator = flat.groups()
        else:
            item, separator = cursor.value(), cursor.expect(b",]")
        yield item
