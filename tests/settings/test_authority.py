"""Certificates kept in a file that nobody else writes."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from subscriber.settings.authority import keep

TEXT = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_file_is_private_and_holds_the_text() -> None:
    path = Path(keep(TEXT))
    assert path.read_text() == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_text_is_the_same_file_and_another_text_another(folder: Path) -> None:
    assert keep(TEXT) == keep(TEXT) != keep(TEXT + TEXT)
    assert len(list(folder.iterdir())) == 2


def test_what_somebody_else_put_there_before_is_replaced_not_followed(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.write_text("untouched")
    path = Path(keep(TEXT))
    path.unlink()
    path.symlink_to(elsewhere)
    assert keep(TEXT) == str(path)
    assert not path.is_symlink() and path.read_text() == TEXT
    assert elsewhere.read_text() == "untouched"


def test_a_folder_that_cannot_be_written_is_said_without_the_text(folder: Path) -> None:
    Path(keep(TEXT)).unlink()
    os.rmdir(folder)
    with pytest.raises(ValueError, match="cannot be written") as caught:
        keep(TEXT)
    assert "MIIB" not in str(caught.value)


def test_nothing_is_left_behind_when_the_file_cannot_be_put_in_place(folder: Path) -> None:
    path = Path(keep(TEXT))
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="cannot be written"):
        keep(TEXT)
    assert list(folder.iterdir()) == [path]
