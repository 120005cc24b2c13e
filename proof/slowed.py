"""Processes that get a share of their time only, as a container with a quota of its processors does.

``python -m proof.slowed SHARE PID …`` stops and continues them until its standard input ends. A process of its own:
whoever is busy calling them could not keep the pace.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

PERIOD_SECONDS = 0.1  # that of Linux's quotas


@contextmanager
def slowed(pids: Sequence[int], share: float) -> Iterator[None]:
    command = [sys.executable, "-m", "proof.slowed", str(share), *map(str, pids)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        try:
            yield
        finally:
            assert child.stdin is not None
            child.stdin.close()


def main(share: float, pids: Sequence[int]) -> None:
    try:
        while True:
            _tell(pids, signal.SIGCONT)
            if _over(share * PERIOD_SECONDS):
                return
            _tell(pids, signal.SIGSTOP)
            if _over((1 - share) * PERIOD_SECONDS):
                return
    finally:
        _tell(pids, signal.SIGCONT)


def _over(seconds: float) -> bool:
    """Waits so long, or until standard input ends."""
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(readable)


def _tell(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended; the others must not stay stopped
            os.kill(pid, number)


if __name__ == "__main__":
    main(float(sys.argv[1]), [int(text) for text in sys.argv[2:]])
