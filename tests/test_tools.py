"""A missing program is installed, or missed aloud."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tools import PATIENCE, require

# "apt-get install PACKAGE" brings a program of the package's name, unless the package is called broken or empty
APT_GET = """#!/bin/sh
here=${0%/*}
echo "$*" >> "$here/calls"
case "$*" in
  *broken*) echo "E: Unable to locate package broken" >&2; exit 100 ;;
  *empty*|*update*) exit 0 ;;
esac
/bin/cp /bin/true "$here/$6"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing but a package manager, where we are root and no CI."""
    (tmp_path / "apt-get").write_text(APT_GET)
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_a_program_that_is_there_is_used(machine: Path) -> None:
    (machine / "apt-get").rename(machine / "present")
    assert require("present", "package") == str(machine / "present")


def test_root_installs_what_is_missing(machine: Path) -> None:
    assert require("wanted", "wanted") == str(machine / "wanted")
    assert (machine / "calls").read_text().splitlines() == [
        f"--quiet {PATIENCE} update",
        f"--quiet {PATIENCE} install --yes --no-install-recommends wanted",
    ]


@pytest.mark.parametrize(
    ("package", "outcome"),
    [
        ("broken", "apt-get install failed: E: Unable to locate package broken"),
        ("empty", "empty did not bring it"),
    ],
)
def test_without_ci_a_missing_program_skips_and_says_why(machine: Path, package: str, outcome: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"^program is missing; {outcome}$"):
        require("program", package)


def test_others_than_root_are_told_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="^program is missing; install one two$"):
        require("program", "one", "two")
    assert not (machine / "calls").exists()


def test_with_ci_a_missing_program_fails(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="^program is missing"):
        require("program", "empty")


def test_what_could_not_be_installed_is_tried_once(machine: Path) -> None:
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception):
            require("program", "empty", "again")
    assert len((machine / "calls").read_text().splitlines()) == 2
