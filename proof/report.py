"""What a chapter of the proof tells, and the document made of all of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

PREFACE = """\
# Proof

What the promises of the product were put through, how often, and what came of it: Python {python}, {machine}.
`make prove` does all of it again and rewrites this page, `python -m proof CHAPTER` one chapter, `make prove QUICK=1`
tries less of each and leaves the page alone.

| chapter | tried | broken promises | minutes | on | commit |
|---|---|---|---|---|---|
"""

MOST_TOLD = 20  # broken promises of a chapter, in words; all are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """``figures`` by what they count, in the order to show them. ``broken`` tells each promise that did not hold."""

    title: str
    what: str  # what is tried, and how; a paragraph
    tried: int
    unit: str  # of ``tried``
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    broken: Sequence[str] = ()
    unproven: str = ""  # what this leaves open


class Part(NamedTuple):
    """What a part of a chapter adds to it."""

    tried: int
    figures: Mapping[str, int | float | str]
    broken: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a chapter told: the UTC ``day``, the ``version`` of the code, how long it took."""

    chapter: Chapter
    day: str
    version: str
    seconds: int


def document(outcomes: Sequence[Outcome]) -> str:
    machine = f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}"
    parts = [PREFACE.format(python=platform.python_version(), machine=machine)]
    for each in outcomes:
        tried, broken = f"{each.chapter.tried:,} {each.chapter.unit}", len(each.chapter.broken)
        minutes = f"{each.seconds / 60:.1f}"
        parts.append(f"| {each.chapter.title} | {tried} | {broken} | {minutes} | {each.day} | {each.version} |\n")
    for chapter in (each.chapter for each in outcomes):
        parts.append(f"\n## {chapter.title}\n\n{chapter.what}\n\n| counted | |\n|---|---|\n")
        parts += [f"| {name} | {_shown(value)} |\n" for name, value in chapter.figures.items()]
        parts += [f"\n**Broken:** {text}\n" for text in told(chapter.broken)]
        if chapter.unproven:
            parts.append(f"\nNot proven: {chapter.unproven}\n")
    return "".join(parts)


def told(broken: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(broken) - MOST_TOLD
    return [*broken[:MOST_TOLD], *([f"… and {more:,} more"] if more > 0 else [])]


def _shown(value: int | float | str) -> str:
    return f"{value:,}" if isinstance(value, int | float) else value
