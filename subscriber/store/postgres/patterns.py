"""Topic patterns (``fnmatch``, as routes have them) as regular expressions of PostgreSQL.

The database has to match them itself: a topic that nobody knew a moment ago must not slip in between two statements.
See postgresql.org/docs, "POSIX Regular Expressions" (advanced ones), and Python's ``fnmatch`` for what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

WILD = frozenset("*?[")


def is_exact(pattern: str) -> bool:
    """Does it match nothing but itself?"""
    return WILD.isdisjoint(pattern)


def regular_expression(patterns: Sequence[str]) -> str:
    """What matches, as a whole, whatever one of the patterns matches; nothing if there are none."""
    return f"^(?:{'|'.join(map(_translated, patterns))})$" if patterns else "(?!)"


def _translated(pattern: str) -> str:
    """``*`` any text, ``?`` any character, ``[…]`` one of a set, ``[!…]`` none of it; all else is itself."""
    pieces = re.split(r"(\[!?\]?[^\]]*\]|[*?])", pattern, flags=re.DOTALL)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    if piece == "*":
        return ".*"
    if piece == "?":
        return "."
    if len(piece) > 2 and piece[0] == "[" and piece[-1] == "]":
        return _set(piece[1:-1])
    return _quoted(piece)


def _set(members: str) -> str:
    """The inside of brackets. A range that runs backwards has no members."""
    negated = members.startswith("!")
    parts = []
    rest = members[negated:]
    while rest:
        if len(rest) > 2 and rest[1] == "-":
            parts += [f"{_quoted(rest[0])}-{_quoted(rest[2])}"] if rest[0] <= rest[2] else []
            rest = rest[3:]
        else:
            parts.append(_quoted(rest[0]))
            rest = rest[1:]
    if not parts:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _quoted(text: str) -> str:
    """Every character that could mean something stands for itself."""
    return re.sub(r"([^A-Za-z0-9_\s])", r"\\\1", text, flags=re.ASCII)
