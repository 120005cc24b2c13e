"""One state file, one process, all or nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from emulator.journal import FORMAT, Journal, StateError


def test_what_is_remembered_survives(tmp_path: Path) -> None:
    first = Journal(tmp_path / "deep" / "state.db")
    first.remember("clock", [1.5, 2.5, 0.0])
    first.close()
    second = Journal(tmp_path / "deep" / "state.db")
    assert second.recall("clock") == [1.5, 2.5, 0.0]
    assert second.recall("nothing") is None
    second.close()


def test_a_failed_transaction_leaves_nothing(journal: Journal) -> None:
    with pytest.raises(RuntimeError), journal.transaction(), journal.transaction():
        journal.remember("a", 1)
        raise RuntimeError
    assert journal.recall("a") is None
    assert not journal.db.in_transaction


def test_a_platform_adds_its_tables_to_any_state_file(journal: Journal) -> None:
    journal.extend("CREATE TABLE IF NOT EXISTS a (x); CREATE TABLE IF NOT EXISTS b (x)")
    journal.extend("CREATE TABLE IF NOT EXISTS a (x)")
    assert journal.db.execute("SELECT * FROM a, b").fetchall() == []


def test_a_second_emulator_is_refused(journal: Journal) -> None:
    with pytest.raises(StateError, match="another emulator"):
        Journal(journal.path)


def test_the_state_is_for_its_owner_only(journal: Journal) -> None:
    assert journal.path.stat().st_mode & 0o077 == 0


def test_a_file_of_another_format_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    with pytest.raises(StateError, match="remove it or name another"):
        Journal(path)


def test_a_strangers_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(StateError, match="not an emulator's state file"):
        Journal(path)
    assert path.read_text().startswith("Dear Sir")


def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot open"):
        Journal(tmp_path / "file" / "state.db")
