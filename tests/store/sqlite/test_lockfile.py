"""The writer's lock across processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from subscriber.store.sqlite.lockfile import WriterLock

HOLD = """
import sys
from subscriber.store.sqlite.lockfile import WriterLock
with WriterLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that has the lock until its standard input ends, or it is killed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    return holder


def taken(path: Path) -> threading.Event:
    """Set once a thread of ours has had the lock."""
    had = threading.Event()

    def take() -> None:
        with WriterLock(str(path)):
            had.set()

    threading.Thread(target=take, daemon=True).start()
    return had


def test_one_writer_at_a_time_also_within_a_process(path: Path) -> None:
    with WriterLock(str(path)):
        waiting = taken(path)
        assert not waiting.wait(0.2)
    assert waiting.wait(5)


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    with hold(path) as holder:
        waiting = taken(path)
        assert not waiting.wait(0.2)
        holder.kill()
        assert waiting.wait(5)


def test_a_lock_can_be_taken_again_and_after_it_was_closed(path: Path) -> None:
    lock = WriterLock(str(path))
    for _ in range(2):
        with lock:
            pass
        lock.close()
    assert taken(path).wait(5)


def test_a_folder_that_is_not_there_is_an_operating_system_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), WriterLock(str(tmp_path / "none" / "store.db")):
        pass
