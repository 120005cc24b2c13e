"""A child ends with its parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.web.serving import ROOT

CHILD = "import os, sys, time; from subscriber.lifeline import end_with; end_with(int(sys.argv[1])); "
CHILD += "print(os.getpid(), flush=True); time.sleep(60)"
PARENT = "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())]).wait()"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part exists on Linux only")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        parent.stdout.readline()
        parent.kill()
        started = time.monotonic()
        assert parent.stdout.read() == b""  # the child held the other end of this pipe
        assert time.monotonic() - started < 30


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD, "1"], cwd=ROOT, timeout=30)
    assert child.returncode == -signal.SIGTERM
