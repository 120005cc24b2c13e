"""Power cuts: one recorded run, cut at many moments in many ways."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import migrations
from proof.power import trace
from proof.power.disk import KINDS, Disk
from proof.power.judging import Promised, judge
from proof.report import Chapter
from subscriber.store.sqlite import driver
from tests.store.making import MEMORY

CUTS = 10_000
PROCESSES = 2
WRITERS = 2
RUN_SECONDS = 300
DATABASE = "proof.db"

WHAT = """\
Two processes accept notifications and one handles them (half in the transaction of their effect), through the real
store on SQLite, while every write, truncation, sync and unlink is recorded. The run is then cut at random moments:
whatever had been synced is on the disk, of the rest nothing, everything, a beginning, a random part of the writes or
of their sectors. The store opens each such disk and is asked: is everything acknowledged there, once, nothing that
was never sent, what was settled still settled, effects exactly those of settled rows, counters as the rows, the file
sound; and does it take what comes again?"""
UNPROVEN = """\
Disks that say a sync is done when it is not; damage to what was synced long ago. The log is moved into the database
every 60 pages instead of every 2,000, so that cuts meet it often."""


def run(scale: float) -> Chapter:
    """``scale`` 1 is the full number of cuts."""
    count = max(1, round(CUTS * scale))
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        base = prepare(folder / "disk")
        record(folder, writes=max(60, round(400 * min(1.0, scale * 4))))
        calls = sum(1 for _ in trace.read(folder / "trace"))
        chance = random.Random(1)
        moments = sorted(chance.randrange(calls) for _ in range(count))
        with ProcessPoolExecutor(PROCESSES) as pool:
            parts = [moments[number::PROCESSES] for number in range(PROCESSES)]
            found = list(pool.map(judge_cuts, [folder] * PROCESSES, [base] * PROCESSES, parts, range(PROCESSES)))
    broken = [text for texts, _ in found for text in texts]
    figures = sum((each for _, each in found), Counter[str]())
    return Chapter(
        title="Power cuts, SQLite",
        what=WHAT,
        tried=count,
        unit="cuts",
        figures={"calls recorded": calls} | dict(sorted(figures.items())),
        broken=broken,
        unproven=UNPROVEN,
    )


def prepare(folder: Path) -> dict[str, bytes]:
    """A migrated database with a table for effects, whole and in one file; its content."""
    folder.mkdir()
    path = folder / DATABASE
    migrations.apply(f"sqlite:///{path}")
    with closing(driver.open_writer(str(path), lock_wait_seconds=1.0)) as connection:
        connection.execute("CREATE TABLE effects (name TEXT NOT NULL)")
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def record(folder: Path, writes: int) -> None:
    """Run the workload on ``disk`` and leave ``trace``."""
    library = trace.build(folder)
    environ = os.environ | {
        "LD_PRELOAD": str(library),
        "POWER_FOLDER": str(folder / "disk"),
        "POWER_TRACE": str(folder / "trace"),
    }
    url = f"sqlite:///{folder / 'disk' / DATABASE}"
    roles = [("accept", url, str(number), str(writes)) for number in range(WRITERS)] + [("handle", url, "99", "0")]
    programs = list[subprocess.Popen[bytes]]()
    try:
        for role in roles:
            programs.append(subprocess.Popen([sys.executable, "-m", "proof.power.workload", *role], env=environ))
        if any(program.wait(RUN_SECONDS) for program in programs):
            raise RuntimeError("the recorded run itself failed")
    finally:
        for program in programs:
            program.kill()
            program.wait()


def judge_cuts(
    folder: Path, base: dict[str, bytes], moments: Sequence[int], number: int
) -> tuple[list[str], Counter[str]]:
    """Cut before each of these calls, in order. What was broken, and how many cuts there were of each kind."""
    disk, promised, chance = Disk(base), Promised(), random.Random(number)
    broken: list[str] = []
    kinds = Counter[str]()
    remaining = iter(moments)
    due = next(remaining, None)
    place = folder / f"cut-{number}"
    place.mkdir()
    for moment, call in enumerate(trace.read(folder / "trace")):
        while due == moment:
            kind = chance.choice(list(KINDS))
            kinds[f"cuts: {kind}"] += 1
            for name, content in disk.cut(kind, chance).items():
                (place / name).write_bytes(content)
            broken += [f"call {moment}, {kind}: {text}" for text in judge(place / DATABASE, promised)]
            for left in place.iterdir():
                left.unlink()
            due = next(remaining, None)
        if call.kind == "M":
            promised.note(call.data.decode())
        else:
            disk.follow(call)
    return broken, kinds
