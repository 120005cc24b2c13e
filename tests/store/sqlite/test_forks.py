"""What a child process must not inherit. Each test forks in a fresh process, as gunicorn's arbiter does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import migrations

FORK = """
import os, sys
from subscriber.model import Tenant
from subscriber.store import open_store
from tests.store.making import notification

store = open_store(sys.argv[1])
store.inbox.add([notification("before")])
store.reports.counts()
child = os.fork()
{in_child_or_parent}
"""
CHILD_WRITES = """
if child == 0:
    store.inbox.add([notification("child")])
    print("child sees", store.reports.counts().pending, flush=True)
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
store.inbox.add([notification("after")])
print("parent sees", store.reports.counts().pending)
store.close()
"""
PARENT_DIES = """
if child == 0:
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
os.kill(os.getpid(), 9)
"""


def start(url: str, script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FORK.format(in_child_or_parent=script), url]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_store_made_before_a_fork_works_in_parent_and_child(url: str) -> None:
    with start(url, CHILD_WRITES) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.splitlines() == ["child sees 2", "parent sees 3"]


def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(url: str, path: Path) -> None:
    with start(url, PARENT_DIES) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.wait(30)
        assert migrations.apply(url) == []  # takes the writer's lock; the child lives until its input ends
