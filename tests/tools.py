"""Programs that tests need beyond Python: found, installed where that is possible, or missed aloud.

    node = require("node", "nodejs")

As root on Debian a missing program is installed from its packages. Where that does not help, the test fails with
``CI=true``, so that nothing is left out unseen, and skips elsewhere: the runner lists skips and reasons at its end.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

APT_DEADLINE_S = 300  # per step; a browser with all it needs is some 300 MB
LOCK = Path(tempfile.gettempdir()) / "subscriber-tests-apt.lock"
PATIENCE = "--option=DPkg::Lock::Timeout=60"  # seconds; somebody else may be installing


def require(command: str, *packages: str) -> str:
    """The path of ``command``, which the Debian ``packages`` bring."""
    found = shutil.which(command)
    outcome = ""
    if found is None:
        with LOCK.open("w") as lock:  # tests run in several processes, and apt-get does not wait for its lists
            fcntl.flock(lock, fcntl.LOCK_EX)
            outcome = "" if shutil.which(command) else _install(packages)
        found = shutil.which(command)
    if found is None:
        unavailable(f"{command} is missing; {outcome}")
    return found


def unavailable(reason: str) -> NoReturn:
    """This machine cannot run the test: a failure with ``CI=true``, else a skip."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@functools.cache  # what failed once is not tried again for every test
def _install(packages: tuple[str, ...]) -> str:
    """What came of it, in words."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"install {names}"
    for step in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        trouble = _apt_get(step)
        if trouble:
            return f"apt-get {step[0]} failed: {trouble}"
    return f"{names} did not bring it"


def _apt_get(step: list[str]) -> str:
    """The last line of its complaint, empty if there is none."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "--quiet", PATIENCE, *step]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=APT_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return f"not done within {APT_DEADLINE_S} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
