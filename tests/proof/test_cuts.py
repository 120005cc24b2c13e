"""The proof itself is tried: a store that breaks its promise is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof.power import cuts
from tests.tools import require


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program started from here opens the database without waiting for the disk."""
    (tmp_path / "sitecustomize.py").write_text(
        "from subscriber.store.sqlite import committer\n"
        "whole = committer.open_writer\n"
        "def careless(*args, **named):\n"
        "    connection = whole(*args, **named)\n"
        "    connection.execute('PRAGMA synchronous = OFF')\n"
        "    return connection\n"
        "committer.open_writer = careless\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")


@pytest.mark.usefixtures("careless")
def test_a_store_that_does_not_wait_for_the_disk_is_found_out() -> None:
    require("cc", "gcc", "libc6-dev")
    found = cuts.run(0.005)
    assert any("acknowledged and lost" in text for text in found.broken)


def test_the_real_store_keeps_its_promises() -> None:
    require("cc", "gcc", "libc6-dev")
    found = cuts.run(0.005)
    assert found.tried == 50
    assert found.broken == []
