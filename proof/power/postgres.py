"""A database server that dies while programs write through the real store: PostgreSQL, stopped at once or killed.

The programs are threads that come again until they are acknowledged, as platforms do, on a store that is never
opened anew: it has to find the server again by itself. What was told to whom is judged after every death by another
store, as after a restart of everything.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from proof.power.judging import Promised, judge_at
from proof.power.workload import BATCH, FORGET, HANDLED, made, name
from proof.report import Chapter
from subscriber.errors import Unavailable
from subscriber.model import Attempt, Done
from subscriber.store import Store
from subscriber.store.postgres import open_store
from tests.servers.postgres import Server, running

DEATHS = 100
LEAST_DEATHS = 2
DEATHS_OF_ONE = 10  # of one database: what is judged must not grow without bounds
WRITERS = 2
HANDLERS = 2
LEASED = 8  # by one turn of a handler
LIFE_ROWS = (10, 300)  # acknowledged before a death, and then
LIFE_SECONDS = 0.02  # a little longer at most: about two commits
AGAIN_SECONDS = 0.05  # after an answer "unavailable"
RETURN_SECONDS = 30.0  # within which a store has found its server again
LEASE_SECONDS = 30.0
MORE = 50  # acknowledgements that say so
# Pages are written back often, so that deaths meet it. A recovery syncs the disk once, and not each file.
SERVER = {
    "fsync": "on",
    "full_page_writes": "on",
    "max_wal_size": "32MB",
    "checkpoint_timeout": "30s",
    "recovery_init_sync_method": "syncfs",
}
PATIENCE_SECONDS = 1.0  # of a write that waits for a connection; 5 in the product, but deaths are many here
TABLE = "SET ROLE app; CREATE TABLE effects (name text NOT NULL)"
EFFECTS = "SELECT name, count(*) FROM effects GROUP BY name"
EFFECT = HANDLED.replace("?", "%s")

WHAT = """\
Two threads accept notifications, two handle them (half in the transaction of their effect) and forget bodies, all
through one real store on a real PostgreSQL server with `fsync` on. At random moments under load the server is stopped
at once (SIGQUIT, as `pg_ctl stop -m immediate`), or it and all its processes are killed (SIGKILL); it is started
again and recovers from its log. The threads go on with the store they had and send again what was not acknowledged.
After each death another store is asked what a disk after a power cut is asked."""
UNPROVEN = """\
These are deaths of the server's processes, not cuts of its machine's power: what it had handed to the kernel is not
lost in them, so they try that a commit waits for the log to be written, and not that the disk keeps it. For that
PostgreSQL's own promises stand (`fsync`, `full_page_writes`), and those of whoever runs it. Nor is a fail-over to a
standby tried."""


def run(scale: float) -> Chapter:
    """``scale`` 1 is the full number of deaths."""
    count = max(LEAST_DEATHS, round(DEATHS * scale))
    chance, figures, broken = random.Random(1), Counter[str](), list[str]()
    with running(SERVER) as server, silence():
        for first in range(0, count, DEATHS_OF_ONE):
            told, found = die_often(server, range(first, min(count, first + DEATHS_OF_ONE)), chance)
            figures += told
            broken += found
    return Chapter(
        title="Deaths of the server, PostgreSQL",
        what=WHAT,
        tried=count,
        unit="deaths",
        figures=dict(sorted(figures.items())),
        broken=broken,
        unproven=UNPROVEN,
    )


def die_often(server: Server, lives: range, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """A database that lives through these deaths of its server. What there was of each, and what was broken."""
    url = server.fresh()
    database = url.rpartition("/")[2]
    server.admin(TABLE, database)
    figures, broken = Counter[str](), list[str]()
    with closing(open_store(url, patience_seconds=PATIENCE_SECONDS)) as store:
        traffic = Traffic(store)
        for life in lives:
            kind = chance.choice(list(KINDS))
            live_and_die(server, traffic, life, KINDS[kind], chance)
            figures[f"deaths: {kind}"] += 1
            found = judge_at(url, partial(_effects, server, database), traffic.promised)
            broken += [f"death {life}, {kind}: {text}" for text in found]
    server.drop(url)
    return figures + traffic.figures(), broken + traffic.errors


@contextmanager
def silence() -> Iterator[None]:
    """No log of thousands of failures that are meant to be."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def live_and_die(
    server: Server, traffic: Traffic, life: int, death: Callable[[Server], None], chance: random.Random
) -> None:
    if chance.random() < 0.5:
        server.admin("CHECKPOINT")  # recovery then begins here, and not at the last life's end
    traffic.start(life)
    try:
        traffic.await_more(chance.randint(*LIFE_ROWS))
        time.sleep(chance.uniform(0, LIFE_SECONDS))  # the moment is the point: a random one under load
        death(server)
        server.start()
        traffic.await_more(MORE)
    finally:
        traffic.stop()


def stop_at_once(server: Server) -> None:
    server.stop(signal.SIGQUIT)


def kill_all(server: Server) -> None:
    """The server's first process is halted before the others go, so that it neither notices nor starts more."""
    ((file,),) = server.admin("SELECT pg_read_file('postmaster.pid')")
    first = int(str(file).split()[0])
    os.kill(first, signal.SIGSTOP)
    try:
        others = [int(pid) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split()]
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    finally:  # a halted one would hear nothing else
        server.stop(signal.SIGKILL)
    deadline = time.monotonic() + RETURN_SECONDS
    while any(map(_lives, others)):  # the next server must not meet them
        if time.monotonic() > deadline:
            raise RuntimeError("killed processes of the server do not end")
        time.sleep(0.01)


KINDS: Mapping[str, Callable[[Server], None]] = {"stopped at once": stop_at_once, "killed": kill_all}


class Traffic:
    """Programs that hand in and handle notifications while the server lives, and again when it is back."""

    def __init__(self, store: Store) -> None:
        self.promised = Promised()
        self.errors: list[str] = []
        self._store = store
        self._refused = Counter[str]()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, life: int) -> None:
        self._stop.clear()
        works = [partial(self._accept, WRITERS * life + number) for number in range(WRITERS)]
        works += [partial(self._handle, random.Random(f"handler {life}/{number}")) for number in range(HANDLERS)]
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def await_more(self, count: int) -> None:
        """Until so many more are acknowledged. That a store does not find its server again is an error."""
        deadline, wanted = time.monotonic() + RETURN_SECONDS, len(self.promised.acknowledged) + count
        while len(self.promised.acknowledged) < wanted and not self.errors:
            if time.monotonic() > deadline:
                self.errors.append(f"the store took nothing for {RETURN_SECONDS:.0f} s")
            time.sleep(0.001)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(RETURN_SECONDS)
            if thread.is_alive():
                raise RuntimeError("a call of the store does not return")

    def figures(self) -> Counter[str]:
        promised = self.promised
        told = {
            "notifications acknowledged": len(promised.acknowledged),
            "settled": len(promised.settled),
            "settled with an effect": len(promised.effected),
        }
        return Counter(told) + self._refused

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # a finding, whatever it is
            self.errors.append(f"{type(error).__name__} reached a caller: {error}")

    def _accept(self, seed: int) -> None:
        """Hand in one batch after the other, each until it is acknowledged; some come twice."""
        chance, number = random.Random(seed), 0
        while not self._stop.is_set():
            numbers = range(number, number + chance.randint(1, BATCH))
            names = [name(seed, each) for each in numbers]
            self.promised.tried.update(names)
            given = [made(seed, each) for each in numbers]
            for _ in range(chance.choice((1, 1, 2))):
                if not self._insist(partial(self._store.inbox.add, given), "batches"):
                    return
            self.promised.acknowledged.update(names)
            number = numbers.stop

    def _handle(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            try:
                for attempt in self._store.inbox.lease(self._store.inbox.lanes(), LEASED, LEASE_SECONDS):
                    self._settle(attempt, chance)
                if chance.random() < 0.05:
                    self._store.inbox.prune(FORGET, limit=50)
            except Unavailable:
                self._refuse("turns of the handler")

    def _settle(self, attempt: Attempt, chance: random.Random) -> None:
        """What the store does not confirm stays with its lease."""
        shown = attempt.notification.key.hex()
        if chance.random() < 0.5:
            if self._store.inbox.settle(attempt, Done()):
                self.promised.settled.add(shown)
            return
        with self._store.inbox.settling(attempt) as settling:
            settling.cursor.execute(EFFECT, (shown,))
            settling.settle(Done())
        self.promised.effected.add(shown)

    def _insist(self, call: Callable[[], object], what: str) -> bool:
        """False if it was stopped before the store took it."""
        while not self._stop.is_set():
            try:
                call()
                return True
            except Unavailable:
                self._refuse(what)
        return False

    def _refuse(self, what: str) -> None:
        self._refused[f"{what} answered unavailable"] += 1
        self._stop.wait(AGAIN_SECONDS)


def _effects(server: Server, database: str) -> Mapping[str, int]:
    return {str(shown): int(str(times)) for shown, times in server.admin(EFFECTS, database)}


def _lives(pid: int) -> bool:
    """Whoever ended and was not waited for yet has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
