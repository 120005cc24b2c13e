"""``python -m proof [--quick] [CHAPTER …]``: run chapters of the proof. Exit 0 if every promise held, 1 if not.

A chapter tried in full is remembered (``outcomes``); once all of them are, ``docs/proof.md`` is written from them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from proof import fuzz, isolation, ledgers, models, mutants, outage, outcomes, overload, requests, tokens
from proof.power import cuts, failing, postgres
from proof.report import Chapter, document, told

QUICK = 0.03  # of the full numbers
DOCUMENT = Path(__file__).parent.parent / "docs" / "proof.md"
CHAPTERS: Mapping[str, Callable[[float], Chapter]] = {
    "cuts": cuts.run,
    "failing": failing.run,
    "deaths": postgres.run,
    "models": models.run,
    "tokens": tokens.run,
    "fuzz": fuzz.run,
    "requests": requests.run,
    "overload": overload.run,
    "mutants": mutants.run,
    "isolation": isolation.run,
    "outage": outage.run,
    "ledgers": ledgers.run,
}
FULL_ONLY = ("mutants",)  # a part of it takes as long as all of it: its tests run first, unchanged


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof", description="Try the promises of the product.")
    parser.add_argument("--quick", action="store_true", help="a small part of each chapter, not remembered")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help=f"some of: {', '.join(CHAPTERS)}")
    given = parser.parse_args()
    if unknown := set(given.chapters) - CHAPTERS.keys():
        parser.error(f"no such chapter: {', '.join(sorted(unknown))}")
    left_out = [name for name in given.chapters or CHAPTERS if given.quick and name in FULL_ONLY]
    if left_out:
        print(f"{', '.join(left_out)}: not tried, only in a full run", flush=True)
    names = [name for name in given.chapters or CHAPTERS if name not in left_out]
    found = [_run(name, quick=given.quick) for name in names]
    if not given.quick and (known := outcomes.kept(CHAPTERS)):
        DOCUMENT.write_text(document(known))
    return 1 if any(chapter.broken for chapter in found) else 0


def _run(name: str, *, quick: bool) -> Chapter:
    started, version = time.monotonic(), "" if quick else outcomes.version()
    if not quick:
        outcomes.forget(name)  # should this run fail, what an earlier one told stands no longer
    chapter = CHAPTERS[name](QUICK if quick else 1.0)
    seconds = time.monotonic() - started
    if not quick:
        outcomes.keep(name, chapter, seconds, version)
    held = f"{len(chapter.broken)} promises broken" if chapter.broken else "every promise held"
    print(f"{chapter.title}: {chapter.tried:,} {chapter.unit}, {held} ({seconds:.0f} s)", flush=True)
    for text in told(chapter.broken):
        print(f"  {text}", flush=True)
    return chapter


if __name__ == "__main__":
    sys.exit(main())
