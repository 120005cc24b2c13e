"""Vendors' clients written in JavaScript: installed as their lock file says, run as processes.

A client lives in a folder of its own with ``package.json``, ``package-lock.json`` and the scripts that drive it.
Never changed: what npm installed. It is checked against the lock file's digests and installed anew when that changes.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.tools import require, unavailable

INSTALL_DEADLINE_S = 240  # 130 packages take a minute on a slow mirror
ANSWER_DEADLINE_S = 30.0  # a client's own retries take a few seconds


def install(folder: Path) -> None:
    """Make ``node_modules`` in ``folder``, unless it is there from this lock file."""
    npm = require("npm", "nodejs", "npm")
    require("node", "nodejs")
    stamp = folder / "node_modules" / ".installed"
    digest = sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    environment = {**os.environ, "NO_UPDATE_NOTIFIER": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S
    )
    if done.returncode != 0:
        unavailable(f"npm cannot install {folder.name}: {done.stderr[-500:]}")
    stamp.write_text(digest)


def environment(home: Path) -> dict[str, str]:
    """For a client that must reach loopback only: no proxies, no one's settings, no look for updates."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "NO_UPDATE_NOTIFIER": "1"}


class Thrown(Exception):
    """The client threw this text."""


class Driver:
    """A running script: each line in is a command, ``[action, …]``, each line out ``{"value"}`` or ``{"error"}``."""

    def __init__(self, script: Path, home: Path) -> None:
        self._process = subprocess.Popen(
            [require("node", "nodejs"), script.name],
            cwd=script.parent,
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, action: str, *parts: object) -> Any:
        """The value; ``Thrown`` for an error."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([action, *parts]), file=self._process.stdin, flush=True)
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_DEADLINE_S)
        assert ready, f"no answer to {action} within {ANSWER_DEADLINE_S} s"
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise Thrown(answer["error"])
        return answer["value"]

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with self._process:
            pass
