"""A quota of a process's time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.processes import wait_until
from proof.slowed import slowed


@pytest.fixture
def busy() -> Iterator[int]:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield child.pid
    child.kill()
    child.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_a_slowed_process_is_stopped_and_goes_on_in_turns(busy: int) -> None:
    with slowed([busy], 0.3):
        for _ in range(2):
            wait_until("a stop", lambda: state(busy) == "T", 20)
            wait_until("going on", lambda: state(busy) != "T", 20)


def test_afterwards_it_runs_on(busy: int) -> None:
    with slowed([busy], 0.1):
        wait_until("a stop", lambda: state(busy) == "T", 20)
    assert state(busy) != "T"


def test_the_end_of_one_does_not_leave_another_stopped(busy: int) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with slowed([gone.pid, busy], 0.1):
        wait_until("a stop", lambda: state(busy) == "T", 20)
    assert state(busy) != "T"
