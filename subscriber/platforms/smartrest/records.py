"""CSV as SmartREST writes it: records out, records in, whatever the bytes.

Records end with LF or CRLF, values are separated by commas. A value with a quote, comma, line break, tab, or white
space at either end is quoted, a quote inside it doubled (SmartREST, "The protocol"). A quoted value may hold line
breaks, so nothing here goes by lines. Empty lines mean nothing.

Reading never fails: a record that breaks the rules is set aside with its bytes, and the next one is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

QUOTED_WHEN = re.compile(r'[",\r\n\t]|^\s|\s$')
# Possessive, so that no input takes longer than its length.
QUOTED = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"')
BARE = re.compile(rb'[^,"\r\n]*+')
END = re.compile(rb",|\r?\n|\Z")
UNCOMMON = re.compile(rb'["\r\0]')  # without these, commas and line feeds say it all

UNTERMINATED = "unterminated"  # a quote that is never closed

Record = tuple[str, ...]


class Broken(NamedTuple):
    """A record that breaks the rules. ``reason`` is a slug."""

    raw: bytes
    reason: str


def write(records: Iterable[Sequence[str]]) -> bytes:
    """Records as a request's body: LF between them, none at the end."""
    return "\n".join(",".join(map(_written, record)) for record in records).encode()


def _written(value: str) -> str:
    return f'"{value.replace(chr(34), chr(34) * 2)}"' if QUOTED_WHEN.search(value) else value


def read(body: bytes) -> list[Record | Broken]:
    """Every record, in order. A record has at least one value; values may be empty."""
    if UNCOMMON.search(body) is None:
        try:
            return [tuple(line.split(",")) for line in body.decode().split("\n") if line]
        except UnicodeDecodeError:
            pass  # some record is at fault: find out which
    return _read_one_by_one(body)


def read_cut(body: bytes) -> list[Record | Broken]:
    """Every record of a body that broke off, without the last one if that may lack something."""
    records = read(body)
    if records and (not body.endswith(b"\n") or _unterminated(records[-1])):
        records.pop()
    return records


def _unterminated(record: Record | Broken) -> bool:
    return isinstance(record, Broken) and record.reason == UNTERMINATED


def _read_one_by_one(body: bytes) -> list[Record | Broken]:
    records: list[Record | Broken] = []
    position = 0
    while position < len(body):
        found, following = _record(body, position)
        if found is not None:
            records.append(found)
        position = following
    return records


def _record(body: bytes, start: int) -> tuple[Record | Broken | None, int]:
    """The record that begins at ``start`` (None: an empty line), and where the next one does."""
    values: list[bytes] = []
    position = start
    while True:
        value, position = _value(body, position)
        if value is None:
            return _broken(body, start, position, UNTERMINATED)
        end = END.match(body, position)
        if end is None:
            return _broken(body, start, _line_end(body, position), "quoting")
        values.append(value)
        position = end.end()
        if end.group() != b",":
            return _decoded(values, body[start : end.start()]), position


def _value(body: bytes, position: int) -> tuple[bytes | None, int]:
    """A value and where it ends; None for a quote that is never closed: what it swallows cannot be told."""
    if body[position : position + 1] != b'"':
        bare = BARE.match(body, position)
        assert bare is not None  # it matches nothing at all, too
        return bare.group(), bare.end()
    quoted = QUOTED.match(body, position)
    if quoted is None:
        return None, len(body)
    return quoted[1].replace(b'""', b'"'), quoted.end()


def _line_end(body: bytes, position: int) -> int:
    end = body.find(b"\n", position)
    return len(body) if end < 0 else end + 1


def _broken(body: bytes, start: int, following: int, reason: str) -> tuple[Broken, int]:
    return Broken(body[start:following].rstrip(b"\r\n"), reason), following


def _decoded(values: list[bytes], raw: bytes) -> Record | Broken | None:
    if not raw:
        return None
    if b"\0" in raw:
        return Broken(raw, "nul")
    try:
        return tuple(value.decode() for value in values)
    except UnicodeDecodeError:
        return Broken(raw, "encoding")
