"""Reading a setting that is a JSON document: every piece knows where it stands, every problem is noted.

A value is never repeated in a problem, it may be a secret; its place says enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

SHOWN_CHARS = 50  # of a member's name that nobody asked for

Read = TypeVar("Read")


def document(text: str, problems: list[str]) -> Part:
    """The whole document. Raises ``ValueError`` if it is no JSON."""
    try:
        return Part(orjson.loads(text), "", problems)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"must be JSON: {error.msg} at character {error.pos}") from None


class Part:
    """A piece of the document, and where it stands. Asking it for what it is not notes a problem."""

    def __init__(self, value: Any, place: str, problems: list[str]) -> None:
        self.value = value
        self.place = place
        self._problems = problems

    def problem(self, wanted: str) -> None:
        """Note that this piece is not as wanted: ``must be …``, ``lacks …``."""
        self._problems.append(f"{self.place or 'it'} {wanted}")

    def text(self, pattern: re.Pattern[str], wanted: str) -> str:
        """Empty if it is no text of that pattern."""
        if isinstance(self.value, str) and pattern.fullmatch(self.value):
            return self.value
        self.problem(f"must be {wanted}")
        return ""

    def flag(self) -> bool:
        """False if it is neither true nor false."""
        if not isinstance(self.value, bool):
            self.problem("must be true or false")
        return self.value is True

    def number(self, lowest: int, highest: int) -> int:
        """``lowest`` if it is no whole number from there to ``highest``."""
        if isinstance(self.value, int) and not isinstance(self.value, bool) and lowest <= self.value <= highest:
            return self.value
        self.problem(f"must be a whole number from {lowest} to {highest}")
        return lowest

    def items(self, read: Callable[[Part], Read]) -> list[Read]:
        """What ``read`` makes of each item; none if it is no list."""
        if not isinstance(self.value, list):
            self.problem("must be a list")
            return []
        return [read(Part(item, f"{self.place}[{index}]", self._problems)) for index, item in enumerate(self.value)]

    def members(self, needed: Sequence[str], more: Sequence[str] = ()) -> dict[str, Part]:
        """The members that are there and not null. Those in ``needed`` have to be, others must not."""
        if not isinstance(self.value, dict):
            self.problem("must be an object")
            return {}
        for name in sorted(set(needed) - set(self.value)):
            self.problem(f"lacks {name}")
        for name in sorted(set(self.value) - {*needed, *more}):
            self.problem(f"has a member {name[:SHOWN_CHARS]!r}, which is none of {', '.join((*needed, *more))}")
        there = {name: item for name, item in self.value.items() if item is not None or name in needed}
        return {name: Part(item, f"{self.place}.{name}".lstrip("."), self._problems) for name, item in there.items()}
