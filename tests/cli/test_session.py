"""The environment of a run: what `.env` adds and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from subscriber.cli.session import ENV_FILE_BYTES, Session, read_env_file
from subscriber.errors import SettingsError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(text)
    return path


def test_an_absent_file_adds_nothing(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == {}


def test_a_folder_of_that_name_adds_nothing(tmp_path: Path) -> None:
    assert read_env_file(tmp_path) == {}


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("PORT=9000", {"PORT": "9000"}),
        ("  PORT = 9000  ", {"PORT": "9000"}),
        ("export PORT=9000", {"PORT": "9000"}),
        ('NAME="two words"', {"NAME": "two words"}),
        ("NAME='a=b'", {"NAME": "a=b"}),
        ("NAME=a#b", {"NAME": "a#b"}),
        ("NAME='", {"NAME": "'"}),
        ("NAME=$HOME", {"NAME": "$HOME"}),
        ("NAME=", {"NAME": ""}),
        ("# NAME=x", {}),
        ("", {}),
    ],
)
def test_a_line_is_a_name_and_a_value(tmp_path: Path, line: str, pair: dict[str, str]) -> None:
    assert read_env_file(written(tmp_path, line + "\n")) == pair


def test_every_bad_line_is_named_without_its_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_env_file(written(tmp_path, "PORT=1\ns3cret\n\n=s3cret\n"))
    assert [problem.rpartition(", ")[2] for problem in caught.value.problems] == [
        "line 2 is not NAME=value",
        "line 4 is not NAME=value",
    ]
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="larger than"):
        read_env_file(written(tmp_path, "#" * (ENV_FILE_BYTES + 1)))
    (tmp_path / ".env").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_env_file(tmp_path / ".env")


def test_what_the_file_gave_says_so() -> None:
    session = Session({"PORT": "9000", "HOST": "::1"}, frozenset({"PORT"}))
    origins = session.settings().origins
    assert (origins["PORT"], origins["HOST"], origins["HANDLERS"]) == (".env", "environment", "default")
