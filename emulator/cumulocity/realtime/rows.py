"""Rows: the comma separated values that SmartREST speaks in both directions. Pure.

"SmartREST 1.0, the protocol": rows end with a line feed (some clients send CR LF), values are quoted when they hold a
quote, comma, line break or tab, or begin or end with white space. A value may so hold line breaks itself: bodies are
never split by lines. Rows are counted from 1, empty lines left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NEEDS_QUOTES = re.compile(r'[",\r\n\t]|^\s|\s$')


class Row(NamedTuple):
    """One row of a request. No values at all: it was malformed, and nothing after it was read."""

    line: int
    values: tuple[str, ...]


def parsed(text: str) -> Iterator[Row]:
    """The rows of a body; an unclosed quote, or text behind a closing one, is malformed."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 0
    try:
        for values in reader:
            if values:
                line += 1
                yield Row(line, tuple(values))
    except csv.Error:
        yield Row(line + 1, ())


def written(values: Iterable[str]) -> str:
    """One row, without its line end."""
    return ",".join(map(_quoted, values))


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if NEEDS_QUOTES.search(value) else value
