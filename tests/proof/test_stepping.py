"""A stepped wall clock: running processes see it, and nothing but the wall clock has moved."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proof.ledgers.stepping import WallClock

# For each line it reads: what the wall clock shows, and how long two short sleeps take by the monotonic one.
TELLER = """
import sys, threading, time
for line in sys.stdin:
    began = time.monotonic()
    time.sleep(0.01)
    threading.Event().wait(0.01)
    print(time.time(), time.monotonic() - began, time.monotonic(), flush=True)
"""
HOUR = 3600
NOTICED_SECONDS = 30.0
SLACK_SECONDS = 120.0  # far from an hour, and more than a busy machine loses between two looks


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def teller(clock: WallClock) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", TELLER]
    environ = {**os.environ, **clock.environ}
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.kill()


def told(teller: subprocess.Popen[str]) -> tuple[float, float, float]:
    """How far its wall clock is off, how long its sleeps took, how far its monotonic clock is off."""
    assert teller.stdin is not None and teller.stdout is not None
    print(file=teller.stdin, flush=True)
    wall, slept, monotonic = map(float, teller.stdout.readline().split())
    return wall - time.time(), slept, monotonic - time.monotonic()


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_running_process_sees_a_step_and_sleeps_as_before(
    clock: WallClock, teller: subprocess.Popen[str], seconds: int
) -> None:
    assert abs(told(teller)[0]) < SLACK_SECONDS
    clock.step(seconds)
    deadline = time.monotonic() + NOTICED_SECONDS
    while abs((seen := told(teller))[0] - seconds) >= SLACK_SECONDS:
        assert time.monotonic() < deadline, seen
    assert seen[1] < SLACK_SECONDS and abs(seen[2]) < SLACK_SECONDS
