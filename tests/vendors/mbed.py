"""PyPI ``mbed-cloud-sdk`` in the hands of tests: the vendor's own client, unmodified, in a process of its own.

It is of 2019: warnings that are errors here would stop it, and its threads outlive a test.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).parent / "pelion" / "client.py"
ANSWER_DEADLINE_S = 30.0


class Thrown(Exception):
    """The SDK threw; the text names the HTTP status where there was one."""


class Sdk:
    """Each call is one action of the script: ``sdk("open", name, host, key, polling)``."""

    def __init__(self, home: Path) -> None:
        environment = {"PATH": "", "HOME": str(home)}  # no settings of anybody's, no proxies
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=home,
            env=environment,
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

    def __enter__(self) -> Sdk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with self._process:
            pass
