"""A disk that fails: each call in turn is refused once (EIO), or it and all after it (ENOSPC, a full disk).

Run as ``python -m proof.power.failing FOLDER CODE SEED STEP`` with the recorder preloaded: refuses every STEPth call
and prints one JSON object.
"""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from proof.power import trace
from proof.power.cuts import DATABASE, prepare
from proof.power.judging import Promised, judge
from proof.power.workload import FORGET, HANDLED, SOURCES, made, name
from proof.report import Chapter
from subscriber.errors import Unavailable
from subscriber.model import Done
from subscriber.store import Store, open_store
from subscriber.store.sqlite import driver
from tests.store.making import MEMORY, letter

SEEDS = 4
QUICK_STEP = 20  # a quick run refuses one call in so many
CODES = ("EIO", "ENOSPC")
LOG_PAGES = 10  # the log is moved into the database within each round
ROWS = 6
LIMIT_SECONDS = 600
RECOVERY_SECONDS = 10.0
MOST_CALLS = 5000  # of a round; a run that finds no end is a bug of this proof

WHAT = """\
A round accepts, leases, settles, settles with an effect, keeps dead letters and forgets bodies, in an order drawn by
its seed, and moves the log into the database. For each call that changes a file there is a round in which this call
fails with an I/O error, and one in which the disk is full from this call on. Nothing but "unavailable" may be raised;
once the cause is gone the same store must work on by itself; then the database is judged as after a power cut."""


def run(scale: float) -> Chapter:
    """``scale`` 1 is the full number of seeds, with every call refused."""
    figures, broken = Counter[str](), list[str]()
    step = 1 if scale == 1 else QUICK_STEP
    with tempfile.TemporaryDirectory(dir=MEMORY) as temporary:
        folder = Path(temporary)
        library = trace.build(folder)
        prepare(folder / "base")
        for seed in range(max(1, round(SEEDS * scale))):
            for code in CODES:
                command = [sys.executable, "-m", "proof.power.failing", str(folder), code, str(seed), str(step)]
                environ = os.environ | {"LD_PRELOAD": str(library), "POWER_FOLDER": str(folder / "disk")}
                told = subprocess.run(
                    command, env=environ, check=True, stdout=subprocess.PIPE, timeout=LIMIT_SECONDS, text=True
                )
                found = json.loads(told.stdout)
                figures.update(found["figures"])
                broken += found["broken"]
    return Chapter(
        title="Failing disk, SQLite",
        what=WHAT,
        tried=sum(figures[f"calls refused: {code}"] for code in CODES),
        unit="calls",
        figures=dict(sorted(figures.items())),
        broken=broken,
        unproven="Reads that fail: SQLite reports them the same way, and nothing is written then.",
    )


class Round:
    """One store, one refused call."""

    def __init__(self, store: Store, seed: int) -> None:
        self.promised = Promised()
        self.refused: list[Callable[[], None]] = []
        self._store = store
        self._seed = seed

    def steps(self) -> Iterator[Callable[[], None]]:
        """What to do, in an order of the seed's. Each may be done again."""
        chance = random.Random(self._seed)
        words = [self._settle, self._effect, self._bury, self._forget] * 2
        chance.shuffle(words)
        for number, word in enumerate(words):
            numbers = range(number * ROWS, (number + 1) * ROWS)
            yield lambda numbers=numbers: self._accept(numbers)  # type: ignore[misc]
            yield word

    def take(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Unavailable:
            self.refused.append(step)

    def _accept(self, numbers: range) -> None:
        names = [name(self._seed, number) for number in numbers]
        self.promised.tried.update(names)
        self._store.inbox.add([made(self._seed, number) for number in numbers])
        self.promised.acknowledged.update(names)

    def _settle(self) -> None:
        for attempt in self._store.inbox.lease(self._store.inbox.lanes(), 2, 30.0):
            if self._store.inbox.settle(attempt, Done()):
                self.promised.settled.add(attempt.notification.key.hex())

    def _effect(self) -> None:
        for attempt in self._store.inbox.lease(self._store.inbox.lanes(), SOURCES, 30.0):
            shown = attempt.notification.key.hex()
            with self._store.inbox.settling(attempt) as settling:
                settling.cursor.execute(HANDLED, (shown,))
                settling.settle(Done())
            self.promised.effected.add(shown)

    def _bury(self) -> None:
        self._store.inbox.add((), [letter(str(self._seed))])

    def _forget(self) -> None:
        self._store.inbox.prune(FORGET, limit=50)


def refuse_calls(folder: Path, code: str, seed: int, every: int) -> tuple[Counter[str], list[str]]:
    figures, broken = Counter[str](), list[str]()
    for nth in range(1, MOST_CALLS, every):
        shutil.rmtree(folder / "disk", ignore_errors=True)
        shutil.copytree(folder / "base", folder / "disk")
        path = folder / "disk" / DATABASE
        with closing(open_store(f"sqlite:///{path}")) as store:
            round_ = Round(store, seed)
            fail(nth, code)
            try:
                for step in round_.steps():
                    round_.take(step)
            except Exception as error:  # a finding, whatever it is
                broken.append(f"{code} at call {nth}, seed {seed}: {type(error).__name__}: {error}")
            calls = fail(0, code)
            if calls < nth:
                return figures, broken
            figures[f"calls refused: {code}"] += 1
            figures["operations answered unavailable"] += len(round_.refused)
            broken += [f"{code} at call {nth}, seed {seed}: {text}" for text in recover(round_)]
        broken += [f"{code} at call {nth}, seed {seed}: {text}" for text in judge(path, round_.promised)]
    raise RuntimeError("a round has no end")


def fail(nth: int, code: str) -> int:
    """How many calls were counted since the last time."""
    before = ctypes.CDLL(None).power_fail(ctypes.c_long(nth), getattr(errno, code))
    return int(before)


def recover(round_: Round) -> list[str]:
    """The cause is gone: what was refused is asked for again."""
    until = time.monotonic() + RECOVERY_SECONDS
    while round_.refused and time.monotonic() < until:
        again, round_.refused = round_.refused, []
        for step in again:
            round_.take(step)
    return [f"{len(round_.refused)} operations never worked again"] if round_.refused else []


def main(folder: str, code: str, seed: str, step: str) -> None:
    logging.disable()  # thousands of failures that are meant to be
    driver.LONG_LOG_PAGES = LOG_PAGES
    figures, broken = refuse_calls(Path(folder), code, int(seed), int(step))
    print(json.dumps({"figures": figures, "broken": broken}))


if __name__ == "__main__":
    main(*sys.argv[1:])
