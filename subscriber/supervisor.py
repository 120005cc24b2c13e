"""`serve`: the web server and the worker of one machine, as children in a process group of their own.

A child that dies is started again, later each time; one that refuses to run (wrong settings, something else runs
already) ends the whole, for no restart cures that. SIGTERM and SIGINT drain and stop all. This module decides nothing
about what its children do, and does nothing itself that could fail.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from subscriber.lifeline import end_with

logger = logging.getLogger(__name__)

REFUSED = 2  # exit code of a child that will not run like this: misuse, by the contract
STOP_SECONDS = 9.0  # a platform kills ten seconds after its SIGTERM (Cloud Foundry, app lifecycle)
KILLED_SECONDS = 5.0  # until a SIGKILL has had its effect
FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 30.0
STEADY_SECONDS = 60.0  # a child that ran so long did not die of how it was started
GLANCE_SECONDS = 0.5  # signals wake us at once; this only catches one that slipped past
WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def back_off(deaths: int) -> float:
    """Seconds to wait before a start that follows ``deaths`` early ones, from 1."""
    return min(LONGEST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2.0 ** (deaths - 1))


@dataclass
class Child:
    """A process that shall run."""

    name: str
    argv: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0  # monotonic
    start_at: float = 0.0  # monotonic; when it is not running: not before
    deaths: int = 0  # in a row, each soon after its start

    def start(self, now: float) -> None:
        parent = os.getpid()
        # Only async-signal-safe work happens between fork and exec here, and there are no threads.
        self.process = subprocess.Popen(self.argv, preexec_fn=lambda: end_with(parent))
        self.started_at = now
        logger.info("started %s", self.name, extra={"action": "child_started", "child": self.name})

    def died(self, now: float) -> int | None:
        """The exit code if it has just been found dead (negative: the signal); plans its next start."""
        code = self.process.poll() if self.process else None
        if code is None:
            return None
        self.process = None
        self.deaths = 1 if now - self.started_at >= STEADY_SECONDS else self.deaths + 1
        self.start_at = now + back_off(self.deaths)
        return code

    def signal(self, number: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(number)


def serve(commands: Mapping[str, Sequence[str]]) -> int:
    """Run these commands (name → argv) until told to stop. Returns the exit code: 0 after an orderly stop.

    Must be called in the main thread of a process that has no other threads.
    """
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    before = {number: signal.signal(number, lambda got, _frame: signals.put(got)) for number in WATCHED}
    children = [Child(name, argv) for name, argv in commands.items()]
    try:
        return _supervise(children, signals)
    finally:
        _stop(children)
        for number, handler in before.items():
            signal.signal(number, handler)


def _supervise(children: Sequence[Child], signals: queue.SimpleQueue[int]) -> int:
    while True:
        now = time.monotonic()
        for child in children:
            if (code := child.died(now)) is not None:
                if code == REFUSED:
                    logger.error("%s refuses to run", child.name, extra={"action": "child_refused", "code": code})
                    return code
                _report(child, code)
            if child.process is None and now >= child.start_at:
                child.start(now)
        if _told_to_stop(signals):
            return 0


def _told_to_stop(signals: queue.SimpleQueue[int]) -> bool:
    """Wait for the next signal, not for long."""
    try:
        return signals.get(timeout=GLANCE_SECONDS) != signal.SIGCHLD
    except queue.Empty:
        return False


def _report(child: Child, code: int) -> None:
    logger.error(
        "%s ended with code %d, next start in %.1f s at the earliest",
        child.name,
        code,
        back_off(child.deaths),
        extra={"action": "child_died", "child": child.name, "code": code},
    )


def _stop(children: Sequence[Child]) -> None:
    """Ask all to end, give them time, then end them."""
    for child in children:
        child.signal(signal.SIGTERM)
    _await_end(children, STOP_SECONDS)
    for child in children:
        child.signal(signal.SIGKILL)
    _await_end(children, KILLED_SECONDS)


def _await_end(children: Sequence[Child], seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    for child in children:
        try:
            if child.process:
                child.process.wait(max(0.0, give_up_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass  # the next signal is stronger
