"""Are the tests worth their name? Small faults put into the code that decides who is believed and what is kept."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from proof.report import Chapter

ROOT = Path(__file__).parent.parent
MUTATED = ("subscriber/tokens.py", "subscriber/dispatcher/decisions.py")
TESTS = ("tests/test_tokens.py", "tests/dispatcher/test_decisions.py")
COPIED = ("subscriber", "migrations", "emulator", "tests", "app.py", "pyproject.toml", "README.md")
LIMIT_SECONDS = 3600
RESULT = re.compile(r"^\s+(\S+): (.+)$")

# Faults that change nothing, by the changed line, with the reason.
WORDS = "only the words of an error's detail"
EQUIVALENT = {
    "raise InvalidToken(None, reason=": WORDS,
    "raise InvalidToken(reason=": WORDS,
    'raise InvalidToken("XXscope is neither a string nor an array of stringsXX", reason="claims")': WORDS,
    'raise InvalidToken("SCOPE IS NEITHER A STRING NOR AN ARRAY OF STRINGS", reason="claims")': WORDS,
    "self._entries.popitem(last=None)": "None is as false as False",
    'return text[:limit].encode("UTF-8", "replace").decode().replace("\\0", "?")': "two spellings of one encoding",
    'return "XXXX" if isinstance(answer, Done) else answer.detail': "only asked whether it is text",
}

WHAT = """\
mutmut changes one expression at a time in the verifier of tokens and in the dispatcher's decisions and runs their
tests. A change that no test notices must change nothing, and is listed in `proof/mutants.py` with its reason."""


def run(scale: float) -> Chapter:
    """``scale`` changes nothing: it is all of it or none."""
    with tempfile.TemporaryDirectory() as name:
        figures, broken = _mutate(Path(name))
    return Chapter(
        title="Mutants",
        what=WHAT,
        tried=sum(figures.values()),
        unit="changes",
        figures=dict(figures) | {"tests": ", ".join(TESTS)},
        broken=broken,
        unproven="Other modules.",
    )


def _mutate(folder: Path) -> tuple[Counter[str], list[str]]:
    for each in COPIED:
        place = ROOT / each
        (shutil.copytree if place.is_dir() else shutil.copy)(place, folder / each)
    with (folder / "pyproject.toml").open("a") as settings:
        settings.write(f"\n[tool.mutmut]\nsource_paths = {list(MUTATED)}\nalso_copy = {list(COPIED)}\n")
        settings.write(f"pytest_add_cli_args_test_selection = {list(TESTS)}\n")
    _mutmut(folder, "run")
    figures, broken = Counter[str](), []
    for line in _mutmut(folder, "results", "--all", "true").splitlines():
        if not (found := RESULT.match(line)):
            continue
        name, result = found.groups()
        if result != "killed":
            change = _change(_mutmut(folder, "show", name))
            reason = next((why for part, why in EQUIVALENT.items() if change.startswith(part)), "")
            result = f"equivalent: {reason}" if reason else result
            broken += [] if reason else [f"{name} {result}: {change}"]
        figures[result] += 1
    return figures, broken


def _change(shown: str) -> str:
    """The line that a mutant adds."""
    return next((line[1:].strip() for line in shown.splitlines() if re.match(r"\+(?!\+)", line)), "")


def _mutmut(folder: Path, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *words]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    if words[0] != "run" and found.returncode:
        raise RuntimeError(f"mutmut {' '.join(words)}: {found.stderr[-500:]}")
    return found.stdout
