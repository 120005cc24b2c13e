"""The ledgers' rehearsals are ended like any program, and tell what was done and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from emulator.processes import wait_until
from proof.ledgers.disturbing import Disturber

DEADLINE_S = 20.0
# Two rehearsals that would go on for long; each leaves a file when it has begun, and one when it has cleaned up.
LONG = """
import pathlib, signal, sys, time
from proof import ledgers

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background has its programs ignore

FOLDER = pathlib.Path(sys.argv[1])

def rehearse(number, scale):
    (FOLDER / f"begun-{number}").touch()
    try:
        time.sleep(600)
    finally:
        (FOLDER / f"ended-{number}").touch()

def first(scale):
    rehearse(1, scale)

def second(scale):
    rehearse(2, scale)

ledgers.REHEARSALS = {"one": first, "other": second}
ledgers.run(float(sys.argv[2]))
"""


@pytest.mark.parametrize(("scale", "at_once"), [("0.01", ["1", "2"]), ("1", ["1"])])
def test_who_interrupts_a_run_interrupts_each_rehearsal(tmp_path: Path, scale: str, at_once: list[str]) -> None:
    command = [sys.executable, "-c", LONG, str(tmp_path), scale]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        try:
            wait_until("the rehearsals", lambda: names(tmp_path, "begun") == at_once, DEADLINE_S)
            os.killpg(run.pid, signal.SIGINT)  # as a terminal does
            run.wait(DEADLINE_S)
        finally:
            with suppress(ProcessLookupError):  # all have ended
                os.killpg(run.pid, signal.SIGKILL)
    assert names(tmp_path, "ended") == names(tmp_path, "begun") == at_once


def names(folder: Path, what: str) -> list[str]:
    return sorted(path.name.partition("-")[2] for path in folder.glob(f"{what}-*"))


class Deserted:
    """A party whose only process has ended: nobody is there to be killed or halted."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.turns = 0

    def victims(self) -> list[int]:
        return [self._pid]

    def restore(self) -> None:
        self.turns += 1


@pytest.fixture
def ended() -> Iterator[int]:
    """The id of a process that was waited for."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    yield child.pid


def test_who_was_not_there_was_not_killed(ended: int) -> None:
    party: Any = Deserted(ended)
    disturber = Disturber(party, (0.0, 0.01))
    disturber.told["stepped"] = 1  # next in turn are those who kill
    with disturber:
        wait_until("some turns", lambda: party.turns > 3, DEADLINE_S)
    assert disturber.told["killed"] == 0
