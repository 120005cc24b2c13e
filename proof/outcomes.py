"""What each chapter told when it was last tried in full, kept beside the code until all of them make the document.

A full run takes hours. A chapter that a change concerns is run again alone; the others keep what they told, with the
version and the day that they told it of.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from proof.report import Chapter, Outcome

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "var" / "proof"
DIGITS = 10  # of a commit's name
CHANGED = ", changed"


def keep(name: str, chapter: Chapter, seconds: float, tried: str, folder: Path = FOLDER) -> None:
    """``tried``: the ``version`` when the run began; if there is another one by now, that was not tried alone."""
    folder.mkdir(parents=True, exist_ok=True)
    day = datetime.now(UTC).date().isoformat()
    told = tried if version() == tried or tried.endswith(CHANGED) else tried + CHANGED
    outcome = Outcome(chapter=chapter, day=day, version=told, seconds=round(seconds))
    (folder / f"{name}.json").write_text(json.dumps(asdict(outcome), ensure_ascii=False, indent=1))


def forget(name: str, folder: Path = FOLDER) -> None:
    """A later run of it told nothing: it failed. What an earlier one told stands no longer."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def kept(names: Iterable[str], folder: Path = FOLDER) -> Sequence[Outcome] | None:
    """Those of ``names``, in their order; None while one was never tried in full."""
    files = [folder / f"{name}.json" for name in names]
    if not all(file.exists() for file in files):
        return None
    return [_read(file) for file in files]


def _read(file: Path) -> Outcome:
    document = json.loads(file.read_text())
    return Outcome(**document | {"chapter": Chapter(**document["chapter"])})


def version() -> str:
    """The commit that is there; it says so where files differ from it."""
    commit = _git("rev-parse", f"--short={DIGITS}", "HEAD")
    return commit + CHANGED if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
