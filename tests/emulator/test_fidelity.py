"""docs/fidelity.md is complete and true: every row, knob, module and test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.knobs import named
from tests.emulator.running import ROOT

PAGE = (ROOT / "docs" / "fidelity.md").read_text()
ROW_ID = r"[ACDMNPS]\d+|(N2|RT)-\d+(\.\d+)?"  # N2, RT: numbered as the sections of what they follow
ROWS = {
    cells[0]: cells
    for line in PAGE.splitlines()
    if (cells := [cell.strip() for cell in line.strip("|").split("|")]) and re.fullmatch(ROW_ID, cells[0])
}
TESTS = sorted(set(re.findall(r"`(tests/[^`]+::[^`]+)`", PAGE)))
MODULES = sorted(set(re.findall(r"`((?:emulator|subscriber|docs)/[^`]+\.(?:py|md))`", PAGE)))
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


@pytest.mark.parametrize(("letter", "last"), [("C", 18), ("D", 46), ("M", 79), ("N", 79), ("P", 51), ("S", 37)])
def test_no_row_is_missing(letter: str, last: int) -> None:
    found = {name for name in ROWS if name.startswith(letter) and not name.startswith("N2-")}
    assert found == {f"{letter}{number}" for number in range(1, last + 1)}


SECTIONS = {"3": 10, "4": 5, "5": 17}  # of the reference on Notification 2.0; 1, 2 and 6 to 9 are not divided


def test_no_section_of_notification2_is_missing() -> None:
    divided = {f"N2-{chapter}.{part}" for chapter, last in SECTIONS.items() for part in range(1, last + 1)}
    found = {name for name in ROWS if name.startswith("N2-")}
    assert found == divided | {f"N2-{chapter}" for chapter in "126789"}


REALTIME_SECTIONS = {"4": 5, "6": 6, "8": 1}  # of the reference on real-time notifications
REALTIME_WHOLE = ("2", "3", "5", "7", "8", "9", "10", "11", "12", "13", "14", "15", "17")


def test_no_section_of_real_time_is_missing() -> None:
    divided = {f"RT-{chapter}.{part}" for chapter, last in REALTIME_SECTIONS.items() for part in range(1, last + 1)}
    found = {name for name in ROWS if name.startswith("RT-")}
    assert found == divided | {f"RT-{chapter}" for chapter in REALTIME_WHOLE}


@pytest.mark.parametrize("name", [name for name in ROWS if re.match(r"[ACD]|N2-|RT-", name)])
def test_every_behaviour_has_a_label_and_a_test(name: str) -> None:
    _, behaviour, label, _, tests = ROWS[name]
    assert behaviour and any(word in label for word in LABELS)
    assert "::" in tests


@pytest.mark.parametrize("name", [name for name in ROWS if re.fullmatch(r"N\d+", name)])
def test_every_statement_of_seed_000_has_its_place(name: str) -> None:
    """Those that are no behaviour have no test."""
    _, statement, where, tests = ROWS[name]
    assert statement and where and ("::" in tests or name in {"N14", "N53", "N77"})


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
def test_every_module_and_document_named_exists(module: str) -> None:
    assert (ROOT / module).exists()


REHEARSED = {"demo.py", "processes.py"}  # they start real programs: tests/journeys proves them


def test_every_emulator_module_has_its_test_file() -> None:
    ours = [path for path in (ROOT / "emulator").rglob("*.py") if not path.name.startswith("__")]
    ours = [path for path in ours if path.name not in REHEARSED]
    assert [path for path in ours if not mirror(path).exists()] == []


def mirror(path: Path) -> Path:
    relative = path.relative_to(ROOT / "emulator")
    return ROOT / "tests" / "emulator" / relative.parent / f"test_{relative.name}"
