"""The SQLite store against the whole contract, against other processes, and against a model of itself."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import timedelta

from hypothesis import settings

import migrations
from subscriber.store import Store
from subscriber.store.sqlite import open_store
from subscriber.store.sqlite.driver import open_reader, open_writer
from tests.store.contract import (
    AddingContract,
    ChannelsContract,
    ForgettingContract,
    LeasingContract,
    OrderedContract,
    RegistryContract,
    ReplayContract,
    ReportsContract,
    SettlingContract,
    TailContract,
)
from tests.store.machine import StoreMachine
from tests.store.making import ACME, MEMORY, key, notification


class TestAdding(AddingContract):
    pass


class TestLeasing(LeasingContract):
    pass


class TestOrdered(OrderedContract):
    pass


class TestSettling(SettlingContract):
    pass


class TestReplay(ReplayContract):
    pass


class TestForgetting(ForgettingContract):
    pass


class TestRegistry(RegistryContract):
    pass


class TestChannels(ChannelsContract):
    pass


class TestReports(ReportsContract):
    pass


class TestTail(TailContract):
    pass


SAME_KEYS = """
import random, sys
from subscriber.model import Outcome
from subscriber.store import open_store
from tests.store.making import several

store, items = open_store(sys.argv[1]), several(1000)
random.Random(sys.argv[2]).shuffle(items)
print("ready", flush=True)
sys.stdin.readline()
outcomes = [store.inbox.add([item])[0].outcome for item in items]
print(outcomes.count(Outcome.NEW), outcomes.count(Outcome.DUPLICATE))
store.close()
"""
LEASE_ALL = """
import sys
from subscriber.store import open_store

store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
while attempts := store.inbox.lease(store.inbox.lanes(), 7, 600):
    print(*(attempt.seq for attempt in attempts))
store.close()
"""
ADD_FOREVER = """
import sys, threading
from subscriber.store import open_store
from tests.store.making import notification

store, number, saying = open_store(sys.argv[1]), iter(range(10**9)), threading.Lock()

def add():
    while True:
        name = f"{sys.argv[2]}-{next(number)}"
        store.inbox.add([notification(name)])
        with saying:
            print(name, flush=True)

for _ in range(8):
    threading.Thread(target=add, daemon=True).start()
sys.stdin.read()
"""
# In a process of its own, as gunicorn's arbiter forks.
FORK = """
import os, sys
from subscriber.store import open_store
from tests.store.making import notification

store = open_store(sys.argv[1])
store.inbox.add([notification("before")])
store.reports.counts()
child = os.fork()
"""
CHILD_WRITES = f"""{FORK}
if child == 0:
    store.inbox.add([notification("child")])
    print("child sees", store.reports.counts().pending, flush=True)
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
store.inbox.add([notification("after")])
print("parent sees", store.reports.counts().pending)
store.close()
"""
PARENT_DIES = f"""{FORK}
if child == 0:
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
os.kill(os.getpid(), 9)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_together(script: str, url: str, count: int = 4) -> list[str]:
    """What that many processes print that start their work at the same moment."""
    processes = [start(script, url, str(number)) for number in range(count)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return outputs


def test_four_processes_adding_the_same_thousand_are_told_new_a_thousand_times(url: str, store: Store) -> None:
    told = [tuple(map(int, output.split())) for output in run_together(SAME_KEYS, url)]
    assert (sum(new for new, _ in told), sum(old for _, old in told)) == (1000, 3000)
    counts = store.reports.counts()
    assert (counts.pending, counts.duplicates) == (1000, 3000)


def test_four_processes_lease_every_row_once(url: str, store: Store) -> None:
    store.inbox.add([notification(f"n{number}", topic=f"t{number % 5}") for number in range(1000)])
    leased = [int(seq) for output in run_together(LEASE_ALL, url) for seq in output.split()]
    assert len(leased) == len(set(leased)) == 1000


def test_a_killed_process_loses_nothing_it_was_told_is_stored(url: str, store: Store) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    for round in range(3):
        with start(ADD_FOREVER, url, str(round)) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(20, 200)):
                acknowledged.append(process.stdout.readline().strip())
            process.kill()
            acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert len(acknowledged) > 60
    assert [name for name in acknowledged if store.reports.row(ACME, key(name)) is None] == []
    assert all(finding.ok for finding in store.inbox.check())


def test_a_store_made_before_a_fork_works_in_parent_and_child(url: str) -> None:
    with start(CHILD_WRITES, url) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.splitlines() == ["child sees 2", "parent sees 3"]


def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(url: str) -> None:
    with start(PARENT_DIES, url) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.wait(30)
        assert migrations.apply(url) == []  # takes the writer's lock; the child lives until its input ends


class SqliteMachine(StoreMachine):
    EFFECT = "INSERT INTO effects VALUES (?)"

    def make(self) -> Store:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.path = f"{self.folder.name}/store.db"
        migrations.apply(f"sqlite:///{self.path}")
        with closing(open_writer(self.path, lock_wait_seconds=1.0)) as connection:
            connection.execute("CREATE TABLE effects (key TEXT)")
        return open_store(f"sqlite:///{self.path}", clock=self.clock)

    def written(self) -> list[str]:
        with closing(open_reader(self.path)) as connection:
            return [each for (each,) in connection.execute("SELECT key FROM effects").fetchall()]

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestModel = SqliteMachine.TestCase
TestModel.settings = settings(max_examples=15, stateful_step_count=25, deadline=timedelta(minutes=1))
