"""docs/fidelity.md is complete and true: every row, knob, module and test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.knobs import named
from tests.emulator.running import ROOT

PAGE = (ROOT / "docs" / "fidelity.md").read_text()
ROW_ID = r"[ACDMP]\d+|N2-\d+(\.\d+)?"  # N2 rows are numbered as the sections of what they follow
ROWS = {
    cells[0]: cells
    for line in PAGE.splitlines()
    if (cells := [cell.strip() for cell in line.strip("|").split("|")]) and re.fullmatch(ROW_ID, cells[0])
}
TESTS = sorted(set(re.findall(r"`(tests/[^`]+::[^`]+)`", PAGE)))
MODULES = sorted(set(re.findall(r"`(emulator/[^`]+\.py)`", PAGE)))
LABELS = (
    "documented",
    "inferred",
    "assumed",
    "contradict",
    "unknown",
    "the emulator's own",
    "first key",
    "that it exists",
)


@pytest.mark.parametrize(("letter", "last"), [("C", 18), ("D", 46), ("M", 79), ("P", 51)])
def test_no_row_is_missing(letter: str, last: int) -> None:
    found = {name for name in ROWS if name.startswith(letter)}
    assert found == {f"{letter}{number}" for number in range(1, last + 1)}


SECTIONS = {"3": 10, "4": 5, "5": 17}  # of the reference on Notification 2.0; 1, 2 and 6 to 9 are not divided


def test_no_section_of_notification2_is_missing() -> None:
    divided = {f"N2-{chapter}.{part}" for chapter, last in SECTIONS.items() for part in range(1, last + 1)}
    found = {name for name in ROWS if name.startswith("N2-")}
    assert found == divided | {f"N2-{chapter}" for chapter in "126789"}


@pytest.mark.parametrize("name", [name for name in ROWS if not name.startswith(("M", "P"))])
def test_every_behaviour_has_a_label_and_a_test(name: str) -> None:
    _, behaviour, label, _, tests = ROWS[name]
    assert behaviour and any(word in label for word in LABELS)
    assert "::" in tests


@pytest.mark.parametrize("test", TESTS)
def test_every_test_named_exists(test: str) -> None:
    path, _, function = test.partition("::")
    assert f"def {function}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("row", [f"C{number}" for number in range(1, 19)])
def test_a_rows_tests_cite_it_or_one_that_does_is_named(row: str) -> None:
    paths = {ROOT / test.partition("::")[0] for test in re.findall(r"`(tests/[^`]+)`", ROWS[row][4])}
    assert any(re.search(rf'"""[^"]*\b{row}\b', path.read_text()) for path in paths)


def test_every_knob_is_named_and_every_name_is_a_knob() -> None:
    assert set(re.findall(r"`(EMU_[A-Z0-9_]+)`", PAGE)) == set(named())


@pytest.mark.parametrize("module", MODULES)
def test_every_emulator_module_named_exists(module: str) -> None:
    assert (ROOT / module).exists()


REHEARSED = {"demo.py", "processes.py"}  # they start real programs: tests/journeys proves them


def test_every_emulator_module_has_its_test_file() -> None:
    ours = [path for path in (ROOT / "emulator").rglob("*.py") if not path.name.startswith("__")]
    ours = [path for path in ours if path.name not in REHEARSED]
    assert [path for path in ours if not mirror(path).exists()] == []


def mirror(path: Path) -> Path:
    relative = path.relative_to(ROOT / "emulator")
    return ROOT / "tests" / "emulator" / relative.parent / f"test_{relative.name}"
