"""Transactional settling on SQLite: in the writer's turn, for 2 s, whatever happens to the process."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.errors import HandlerError, LeaseLost, OutOfTime, StoreBusy, StoreUnavailable
from subscriber.model import Attempt, Done, State
from subscriber.store import Store, open_store
from subscriber.store.sqlite import open_store as open_sqlite
from subscriber.store.sqlite.driver import open_reader, open_writer
from subscriber.store.sqlite.lending import LOAN_SECONDS
from subscriber.store.sqlite.lockfile import WriterLock
from tests.store.making import ACME, Clock, lane, lease_all, lease_one, notification, several

SETTLE_FOREVER = """
import sys
from subscriber.model import Done
from subscriber.store import open_store

store = open_store(sys.argv[1])
print("ready", flush=True)
while attempts := store.inbox.lease(store.inbox.lanes(), 5, 0.2):
    for attempt in attempts:
        with store.inbox.settling(attempt) as settling:
            for part in range(20):
                settling.cursor.execute("INSERT INTO effects VALUES (?, ?)", (attempt.seq, part))
            settling.settle(Done())
"""


@pytest.fixture
def effects(url: str, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("CREATE TABLE effects (seq INTEGER, part INTEGER, PRIMARY KEY (seq, part))")


def written(path: Path) -> list[tuple[int, int]]:
    with closing(open_reader(str(path))) as connection:
        return connection.execute("SELECT seq, count(*) FROM effects GROUP BY seq ORDER BY seq").fetchall()


@pytest.mark.usefixtures("effects")
def test_a_block_that_takes_too_long_is_undone_and_others_go_on(url: str, path: Path, clock: Clock) -> None:
    with closing(open_sqlite(url, clock=clock)) as store:
        store.inbox.add([notification()])
        attempt, began = lease_one(store), time.monotonic()
        with pytest.raises(OutOfTime, match="longer than 2 s"), store.inbox.settling(attempt) as settling:
            settling.cursor.execute("INSERT INTO effects VALUES (1, 1)")
            settling.settle(Done())
            store.inbox.add([notification("another")])  # waits until the block's time is over
            assert LOAN_SECONDS <= time.monotonic() - began < LOAN_SECONDS + 2
        assert written(path) == []
        assert store.inbox.settle(attempt, Done()) is True


@pytest.mark.usefixtures("effects")
def test_a_killed_process_leaves_effects_of_settled_rows_only_and_all_of_them(url: str, path: Path) -> None:
    chance = random.Random(5)
    with closing(open_store(url)) as store:
        store.inbox.add(several(400))
        for _ in range(4):
            with subprocess.Popen([sys.executable, "-c", SETTLE_FOREVER, url], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None and process.stdout.readline() == b"ready\n"
                time.sleep(chance.uniform(0, 0.15))  # any moment will do
                process.kill()
            assert sum(parts for _, parts in written(path)) == 20 * store.reports.counts(ACME).done
        assert store.reports.counts(ACME).done > 0
        deadline = time.monotonic() + 60
        while store.reports.counts(ACME).done < 400 and time.monotonic() < deadline:
            for attempt in lease_all(store, 50):
                settle_with_effects(store, attempt)
    assert written(path) == [(seq, 20) for seq in range(1, 401)]


def settle_with_effects(store: Store, attempt: Attempt) -> None:
    with store.inbox.settling(attempt) as settling:
        settling.cursor.executemany("INSERT INTO effects VALUES (?, ?)", ((attempt.seq, part) for part in range(20)))
        settling.settle(Done())


def test_without_its_turn_a_block_does_not_begin(url: str, path: Path, clock: Clock) -> None:
    with closing(open_sqlite(url, clock=clock, patience_seconds=0.3)) as store:
        store.inbox.add([notification()])
        attempt = lease_one(store)
        with WriterLock(str(path)), pytest.raises(StoreBusy), store.inbox.settling(attempt):
            pytest.fail("the block ran")
        assert store.inbox.settle(attempt, Done()) is True


def test_a_strangers_lock_makes_it_unavailable(url: str, path: Path, clock: Clock) -> None:
    with closing(open_sqlite(url, clock=clock, patience_seconds=0.3)) as store:
        store.inbox.add([notification()])
        attempt = lease_one(store)
        with closing(open_writer(str(path), lock_wait_seconds=0)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable), store.inbox.settling(attempt):
                pytest.fail("the block ran")
            stranger.execute("ROLLBACK")
        assert store.inbox.settle(attempt, Done()) is True


def test_a_closed_store_lends_nothing(store: Store) -> None:
    store.inbox.add([notification()])
    attempt = lease_one(store)
    store.close()
    with pytest.raises(StoreUnavailable), store.inbox.settling(attempt):
        pytest.fail("the block ran")


def test_the_stores_own_tables_are_not_the_handlers(store: Store) -> None:
    store.inbox.add([notification()])
    attempt = lease_one(store)
    with pytest.raises(HandlerError), store.inbox.settling(attempt) as settling:
        settling.cursor.execute("UPDATE inbox SET state = 'done' WHERE seq = ?", (attempt.seq,))
    assert store.reports.counts(ACME).running == 1


@pytest.mark.usefixtures("effects")
def test_what_was_settled_is_not_written_to_any_more(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    attempt = lease_one(store)
    with pytest.raises(LeaseLost), store.inbox.settling(attempt) as settling:
        settling.settle(Done())
        settling.cursor.execute("INSERT INTO effects VALUES (1, 1)")
    assert written(path) == []


def test_a_lease_can_be_extended_from_elsewhere_meanwhile(store: Store) -> None:
    """The answer comes after the block; here it has ended the attempt."""
    store.inbox.add([notification()])
    attempt = lease_one(store)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(store.inbox.extend(attempt, 30)))
    with store.inbox.settling(attempt) as settling:
        thread.start()
        settling.settle(Done())
    thread.join()
    assert answers in ([False], [True])
    assert store.reports.counts(ACME).done == 1


@pytest.mark.usefixtures("effects")
def test_commits_of_others_are_shared_around_a_block(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    with store.inbox.settling(lease_one(store)) as settling:
        submissions = [store.inbox.submit([item]) for item in several(200, prefix="more")]
        assert store.reports.counts(ACME).pending == 0
        settling.settle(Done())
    for submission in submissions:
        submission.receipts()
    assert store.reports.counts(ACME).pending == 200


def test_the_row_keeps_nothing_of_its_lease(store: Store, path: Path) -> None:
    store.inbox.add([notification()])
    with store.inbox.settling(lease_one(store)) as settling:
        settling.settle(Done())
    with closing(open_reader(str(path))) as connection:
        assert connection.execute("SELECT state, lease_until FROM inbox").fetchall() == [(State.DONE, None)]
    assert store.inbox.lease([lane()], 1, 30) == []
