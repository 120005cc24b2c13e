"""The fuzzing itself is tried: a reader that breaks its contract is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof import fuzz
from proof.targets import TARGETS

INPUTS = 20_000


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames whose header is not UTF-8 are nobody's business in every program started from here."""
    (tmp_path / "sitecustomize.py").write_text(
        "from subscriber.platforms import cumulocity\ncumulocity._printable = lambda line: line.decode()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")


@pytest.mark.usefixtures("careless")
def test_a_reader_that_lets_another_error_out_is_found_out_with_its_input() -> None:
    reached, finding = fuzz.fuzz("cumulocity", TARGETS["cumulocity"], INPUTS)
    assert reached == 0
    assert finding.startswith("cumulocity: UnicodeDecodeError") and " at b'" in finding


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_read_without_a_finding(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].read(seed)
