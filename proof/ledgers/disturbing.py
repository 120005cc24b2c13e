"""What happens to the service's processes while it works: a thread that kills, halts, and steps their wall clock.

One disturbance at a time, each a few seconds after the last. No process dies while its wall clock is an hour off, nor
soon after: on SQLite the leases and locks that it leaves would last for that hour.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from proof.ledgers.party import Party
from subscriber.channels.ownership import LOCK_SECONDS

HALT_SECONDS = (0.5, 3.0)  # less than a lease: who is away for longer loses what it held, which ledgers see as well
HOUR = 3600
FEW = 30  # seconds of a small step
AWAY_SECONDS = (2.0, 4.0)  # that the clock is an hour off: some hundred deliveries and leases
KINDS = ("stepped", "killed", "halted", "killed", "halted")  # a clock is stepped more rarely than a process dies


class Disturber:
    """A context in which processes are disturbed; ``told`` counts by kind. Its end raises what its thread raised."""

    def __init__(self, party: Party, pause_seconds: tuple[float, float]) -> None:
        """``pause_seconds``: between two disturbances, at least and at most."""
        self.told: Counter[str] = Counter()
        self._party = party
        self._pause = pause_seconds
        self._chance = random.Random(9)
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._offset = 0  # of the last small step
        self._small_next = True
        self._thread = threading.Thread(target=self._run, name="disturber", daemon=True)

    def __enter__(self) -> Disturber:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        actions: dict[str, Callable[[], None]] = {"killed": self._kill, "halted": self._halt, "stepped": self._step}
        try:
            while not self._stop.wait(self._chance.uniform(*self._pause)):
                actions[KINDS[self.told.total() % len(KINDS)]]()
                self._party.restore()
        except Exception as error:  # top of a thread: it is raised where the context ends
            self._error = error

    def _victim(self) -> int | None:
        victims = self._party.victims()
        return self._chance.choice(victims) if victims else None

    def _kill(self) -> None:
        if (victim := self._victim()) is not None:
            with suppress(ProcessLookupError):  # its parent has just ended it
                os.kill(victim, signal.SIGKILL)
                self.told["killed"] += 1

    def _halt(self) -> None:
        if (victim := self._victim()) is not None:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGSTOP)
                self.told["halted"] += 1
                self._stop.wait(self._chance.uniform(*HALT_SECONDS))
                os.kill(victim, signal.SIGCONT)

    def _step(self) -> None:
        """In turns: some seconds forward or back, to stay; an hour, and back."""
        self.told["stepped"] += 1
        small, self._small_next = self._small_next, not self._small_next
        if small:
            self._offset = self._chance.randint(-FEW, FEW)
            self._party.clock.step(self._offset)
            return
        self.told["stepped"] += 1  # there and back
        way = self._chance.choice((-HOUR, HOUR))
        self._party.clock.step(self._offset + way)
        self._stop.wait(self._chance.uniform(*AWAY_SECONDS))
        self._party.clock.step(self._offset)
        self._stop.wait(LOCK_SECONDS)  # by then each lock was renewed, and ends by the clock of now
