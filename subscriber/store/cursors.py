"""What the text of a cursor says: numbers that only a back end understands.

Cursors come back from outside, so nothing about them is believed: what no store can have given is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from subscriber.errors import InvalidCursor

SEPARATOR = "-"
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")  # plain decimal, as written below; more digits fit no column
LARGEST = 2**63 - 1  # of a column of whole numbers, on every back end


def written(numbers: Sequence[int]) -> str:
    """The cursor of a place."""
    return SEPARATOR.join(map(str, numbers))


def read(cursor: str, count: int) -> tuple[int, ...]:
    """The ``count`` numbers of a place. The empty cursor is the place before everything: zeros.

    Raises ``InvalidCursor``.
    """
    if not cursor:
        return (0,) * count
    parts = cursor.split(SEPARATOR, count)
    if len(parts) != count or not all(map(NUMBER.fullmatch, parts)):
        raise InvalidCursor("this is no cursor of this list")
    numbers = tuple(map(int, parts))
    if max(numbers) > LARGEST:
        raise InvalidCursor("this is no cursor of this list")
    return numbers
