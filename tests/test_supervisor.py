"""`serve`, with small real children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from subscriber.supervisor import LONGEST_BACK_OFF_SECONDS, back_off
from tests.web.serving import ROOT

# Tells that it runs, and where; ends when told to.
STEADY = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} {os.getpgrp()}\\n'); time.sleep(60)"
# Notes that it was asked to end, and takes its time.
SLOW = "import signal, sys, time; "
SLOW += "signal.signal(15, lambda *_: (time.sleep(0.5), open(sys.argv[1], 'a').write('ended\\n'), sys.exit(0))); "
SLOW += "open(sys.argv[1], 'a').write('ready\\n'); time.sleep(60)"
REFUSING = "import sys; sys.exit(2)"
DYING = "import sys; open(sys.argv[1], 'a').write('died\\n'); sys.exit(1)"

SERVE = "import sys, json; from subscriber.supervisor import serve; sys.exit(serve(json.loads(sys.argv[1])))"


@contextmanager
def supervising(folder: Path, **programs: str) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor of children (name → program); each writes to a file of its name in ``folder``."""
    commands = {name: [sys.executable, "-c", text, str(folder / name)] for name, text in programs.items()}
    process = subprocess.Popen([sys.executable, "-c", SERVE, json.dumps(commands)], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def lines(path: Path, count: int) -> list[str]:
    """The first lines a child writes; waits for them."""
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{path.name} wrote too little")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def eventually(condition: Callable[[], bool]) -> bool:
    give_up_at = time.monotonic() + 20
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.02)
    return True


def test_all_processes_are_in_a_group_of_their_own(tmp_path: Path) -> None:
    with supervising(tmp_path, web=STEADY, worker=STEADY) as supervisor:
        groups = {lines(tmp_path / name, 1)[0].split()[1] for name in ("web", "worker")}
        assert groups == {str(supervisor.pid)}
        assert os.getpgrp() != supervisor.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains_all_children_and_ends_orderly(tmp_path: Path, number: signal.Signals) -> None:
    with supervising(tmp_path, web=SLOW, worker=SLOW) as supervisor:
        for name in ("web", "worker"):
            lines(tmp_path / name, 1)
        supervisor.send_signal(number)
        assert supervisor.wait(20) == 0
        assert [lines(tmp_path / name, 2)[1] for name in ("web", "worker")] == ["ended", "ended"]


def test_a_child_that_dies_is_started_again_and_the_other_is_left_alone(tmp_path: Path) -> None:
    with supervising(tmp_path, web=STEADY, worker=STEADY):
        web, worker = (int(lines(tmp_path / name, 1)[0].split()[0]) for name in ("web", "worker"))
        os.kill(worker, signal.SIGKILL)
        assert len(lines(tmp_path / "worker", 2)) == 2
        assert not gone(web)
        assert len(lines(tmp_path / "web", 1)) == 1


def test_a_child_that_keeps_dying_is_started_again_and_does_not_end_the_other(tmp_path: Path) -> None:
    with supervising(tmp_path, web=DYING, worker=STEADY) as supervisor:
        lines(tmp_path / "web", 2)
        assert supervisor.poll() is None


def test_a_child_that_refuses_to_run_ends_everything_with_its_code(tmp_path: Path) -> None:
    with supervising(tmp_path, web=REFUSING, worker=STEADY) as supervisor:
        assert supervisor.wait(20) == 2
    started = tmp_path / "worker"
    if started.exists():  # it may have been stopped before its first line
        assert all(gone(int(line.split()[0])) for line in started.read_text().splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's help, see subscriber.lifeline")
def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with supervising(tmp_path, web=STEADY, worker=STEADY) as supervisor:
        pids = [int(lines(tmp_path / name, 1)[0].split()[0]) for name in ("web", "worker")]
        supervisor.kill()
        supervisor.wait(20)
        assert eventually(lambda: all(gone(pid) for pid in pids))


def test_each_early_death_doubles_the_wait_up_to_a_ceiling() -> None:
    assert [back_off(deaths) for deaths in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert back_off(1000) == LONGEST_BACK_OFF_SECONDS
