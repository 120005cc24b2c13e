"""The proof itself is tried: a server that acknowledges what it did not store is found out."""

from __future__ import annotations

from pathlib import Path

from proof import overload

HASTY = """
from subscriber import intake
whole = intake.keep_later
def keep_later(inbox, arrived, then):
    if any(b'peak-0-7-' in one.body for one in arrived.notifications):
        then(intake.Kept.ACCEPTED)
        return lambda: None
    return whole(inbox, arrived, then)
intake.keep_later = keep_later
"""


def test_an_answer_without_a_commit_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HASTY)
    found = overload.run(0, PYTHONPATH=f"{tmp_path}:{Path.cwd()}")
    assert "deliveries were acknowledged and are not stored" in [text.partition(" ")[2] for text in found.broken]
