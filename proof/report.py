"""What a chapter of the proof tells, and the document made of all of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

PREFACE = """\
# Proof

What the promises of the product were put through, how often, and what came of it. Made by `make prove` on {today},
Python {python}, {machine}. `make prove` does it again and rewrites this page, `make prove QUICK=1` tries less of
each.

| chapter | tried | broken promises |
|---|---|---|
"""


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


def document(chapters: Sequence[Chapter], today: date) -> str:
    machine = f"{platform.system()} {platform.machine()}"
    parts = [PREFACE.format(today=today, python=platform.python_version(), machine=machine)]
    for chapter in chapters:
        parts.append(f"| {chapter.title} | {chapter.tried:,} {chapter.unit} | {len(chapter.broken)} |\n")
    for chapter in chapters:
        parts.append(f"\n## {chapter.title}\n\n{chapter.what}\n\n| counted | |\n|---|---|\n")
        parts += [f"| {name} | {_shown(value)} |\n" for name, value in chapter.figures.items()]
        parts += [f"\n**Broken:** {text}\n" for text in chapter.broken]
        if chapter.unproven:
            parts.append(f"\nNot proven: {chapter.unproven}\n")
    return "".join(parts)


def _shown(value: int | float | str) -> str:
    return f"{value:,}" if isinstance(value, int | float) else value
