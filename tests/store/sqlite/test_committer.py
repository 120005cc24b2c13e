"""Group commit, and everything that can go wrong with it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import migrations
from subscriber.errors import NotFound, StoreBusy, StoreUnavailable
from subscriber.store import Store
from subscriber.store.sqlite import open_store
from subscriber.store.sqlite.committer import LARGEST_BATCH, Committer, Job
from subscriber.store.sqlite.driver import Connection, open_writer
from subscriber.store.sqlite.lockfile import WriterLock
from subscriber.store.sqlite.transaction import Transaction
from tests.store.making import Clock, notification, several
from tests.store.sqlite.test_lockfile import hold

Work = Callable[[Transaction], object]
SOON = 0.3  # seconds of patience: long enough for a commit, short enough for a test


class Recorder:
    """Does works that are functions, and remembers how many it was given at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def at_once(self, connection: Connection, now: int, works: Sequence[Work]) -> Sequence[object] | None:
        return None

    def perform(self, transaction: Transaction, works: Sequence[Work]) -> Sequence[object]:
        self.batches.append(len(works))
        return [work(transaction) for work in works]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def committer(url: str, path: Path, recorder: Recorder, clock: Clock) -> Iterator[Committer[Work]]:
    with closing(Committer(str(path), recorder, clock, patience_seconds=SOON)) as committer:
        yield committer


@pytest.fixture
def hasty(url: str, clock: Clock) -> Iterator[Store]:
    """A store whose writes wait only SOON."""
    with closing(open_store(url, clock=clock, patience_seconds=SOON)) as store:
        yield store


def pause(name: str) -> Work:
    def work(transaction: Transaction) -> str:
        transaction.execute("INSERT INTO pauses (kind, name, since) VALUES ('topic', ?, ?)", (name, transaction.now))
        return name

    return work


def names(path: Path) -> list[str]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM pauses ORDER BY name").fetchall()]


def submit_behind_a_lock(committer: Committer[Work], path: Path, works: Sequence[Work]) -> list[Job]:
    """Have all works wait before the first one's turn comes."""
    with WriterLock(str(path)):
        return [committer.submit(work) for work in works]


def test_what_waits_at_the_same_time_shares_a_commit(
    committer: Committer[Work], recorder: Recorder, path: Path
) -> None:
    jobs = submit_behind_a_lock(committer, path, [pause(f"n{number}") for number in range(9)])
    assert [committer.result(job) for job in jobs] == [f"n{number}" for number in range(9)]
    assert recorder.batches == [9]
    assert len(names(path)) == 9


def test_a_transaction_has_a_limit(committer: Committer[Work], recorder: Recorder, path: Path) -> None:
    with WriterLock(str(path)):
        jobs = [committer.submit(pause(f"n{number}"), weight=LARGEST_BATCH // 2) for number in range(5)]
    for job in jobs:
        committer.result(job)
    assert recorder.batches == [2, 2, 1]


def test_one_works_failure_is_its_callers_alone(committer: Committer[Work], recorder: Recorder, path: Path) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO pauses (kind, name, since) VALUES ('topic', 'half', 0)")
        raise NotFound("nothing there")

    jobs = submit_behind_a_lock(committer, path, [pause("a"), fail, pause("b")])
    assert committer.result(jobs[0]) == "a"
    with pytest.raises(NotFound):
        committer.result(jobs[1])
    assert committer.result(jobs[2]) == "b"
    assert recorder.batches == [3, 1, 1, 1]
    assert names(path) == ["a", "b"]


def test_a_row_that_breaks_a_rule_of_the_schema_is_unstorable(committer: Committer[Work]) -> None:
    with pytest.raises(StoreUnavailable) as refusal:
        committer.commit(lambda transaction: transaction.execute("INSERT INTO pauses VALUES ('planet', 'x', 0)"))
    assert refusal.value.reason == "unstorable"


def test_a_statement_that_is_wrong_does_not_spoil_the_others(committer: Committer[Work], path: Path) -> None:
    jobs = submit_behind_a_lock(committer, path, [lambda tx: tx.execute("SELECT * FROM nowhere"), pause("a")])
    with pytest.raises(StoreUnavailable):
        committer.result(jobs[0])
    assert committer.result(jobs[1]) == "a"


def test_a_write_whose_turn_does_not_come_is_busy_and_not_stored(hasty: Store, path: Path) -> None:
    with WriterLock(str(path)):
        with pytest.raises(StoreBusy):
            hasty.inbox.add([notification()])
    hasty.inbox.add([notification("two")])
    assert hasty.reports.counts().pending == 1


def test_a_writer_that_was_stopped_does_not_hang_the_others(hasty: Store, path: Path) -> None:
    with hold(path) as holder:
        os.kill(holder.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(StoreBusy):
            hasty.inbox.add([notification()])
        assert time.monotonic() - began < SOON + 5
        holder.kill()
    assert hasty.inbox.add([notification()])


def test_a_submission_that_nobody_awaited_in_time_is_busy_when_asked(hasty: Store, path: Path) -> None:
    with WriterLock(str(path)):
        submission = hasty.inbox.submit([notification()])
        for _ in range(2):
            with pytest.raises(StoreBusy):
                submission.receipts()
    assert hasty.reports.counts().pending == 0


def test_a_strangers_lock_makes_the_store_unavailable_until_it_is_gone(hasty: Store, path: Path) -> None:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another program"):
            hasty.inbox.add([notification()])
        stranger.execute("ROLLBACK")
    assert hasty.inbox.add([notification()])


def test_a_full_database_makes_the_store_unavailable_until_there_is_room(
    committer: Committer[Work], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    committer.alone(lambda connection: connection.execute("PRAGMA max_page_count = 1"))  # forgotten on reconnecting
    fill = "INSERT INTO audit (at, actor, action, detail) VALUES (0, '', '', hex(zeroblob(100000)))"
    with caplog.at_level(logging.ERROR), pytest.raises(StoreUnavailable, match="disk is full"):
        committer.commit(lambda transaction: transaction.execute(fill))
    assert [record.action for record in caplog.records] == ["commit"]  # type: ignore[attr-defined]
    assert committer.commit(pause("a")) == "a"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB that can be made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def test_a_full_disk_loses_nothing_and_the_store_recovers(small_disk: Path, clock: Clock) -> None:
    url = f"sqlite:///{small_disk}/store.db"
    migrations.apply(url)
    with closing(open_store(url, clock=clock)) as store:
        accepted = 0
        with pytest.raises(StoreUnavailable, match="disk is full|failed"):
            for number in range(1000):
                store.inbox.add([notification(f"n{number}", body=b"x" * 10_000)])
                accepted += 1
        with pytest.raises(StoreUnavailable):
            store.inbox.probe()
            store.inbox.add([notification("more", body=b"x" * 100_000)])
        assert store.reports.counts().pending == accepted > 0
        remount(small_disk, "size=8m")
        assert store.inbox.add([notification("again", body=b"x" * 100_000)])
        assert store.reports.counts().pending == accepted + 1
        assert all(finding.ok for finding in store.inbox.check() if finding.name != "room")


def test_a_read_only_disk_makes_the_store_unavailable_until_it_is_writable(small_disk: Path, clock: Clock) -> None:
    url = f"sqlite:///{small_disk}/store.db"
    migrations.apply(url)
    with closing(open_store(url, clock=clock)) as store:  # connects when first needed
        remount(small_disk, "ro")
        with pytest.raises(StoreUnavailable):
            store.inbox.add([notification()])
        remount(small_disk, "rw")
        assert store.inbox.add([notification()])


def test_a_damaged_database_is_unavailable(hasty: Store, path: Path) -> None:
    hasty.inbox.add([notification()])
    hasty.close()
    with path.open("r+b") as file:
        file.write(b"x" * 4096)
    with closing(Committer(str(path), Recorder(), Clock(), patience_seconds=SOON)) as committer:
        with pytest.raises(StoreUnavailable, match="not a database|damaged"):
            committer.commit(pause("a"))


def test_a_callback_that_fails_does_not_stop_the_committer(
    hasty: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("not ours")

    with WriterLock(str(path)):
        hasty.inbox.submit([notification()]).when_done(fail)
    hasty.inbox.add([notification("two")])
    assert hasty.reports.counts().pending == 2
    assert [record.action for record in caplog.records] == ["callback"]  # type: ignore[attr-defined]


def test_what_runs_alone_is_outside_any_transaction_and_its_error_is_its_callers(
    committer: Committer[Work], path: Path
) -> None:
    seen: list[bool] = []
    committer.alone(lambda connection: seen.append(connection.in_transaction))
    assert seen == [False]

    def refuse(connection: Connection) -> None:
        raise StoreBusy("later")

    with pytest.raises(StoreBusy, match="later"):
        committer.alone(refuse)
    assert committer.commit(pause("a")) == "a"


def test_what_runs_alone_waits_for_what_came_before_it(
    committer: Committer[Work], recorder: Recorder, path: Path
) -> None:
    with WriterLock(str(path)):
        job = committer.submit(pause("a"))
        alone = threading.Thread(target=committer.alone, args=(lambda connection: recorder.batches.append(0),))
        alone.start()
        while len(committer._queue) < 2:
            time.sleep(0.001)
        last = committer.submit(pause("b"))
    for waited in (job, last):
        committer.result(waited)
    alone.join()
    assert recorder.batches == [1, 0, 1]


def test_who_begins_alone_goes_on_when_it_has_begun(committer: Committer[Work]) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(connection: Connection) -> str:
        begun.set()
        assert ended.wait(5)
        return "done"

    job = committer.begin_alone(work, begun)
    waiting = committer.submit(pause("a"))
    assert not job.done and not waiting.done
    ended.set()
    assert committer.result(job) == "done"
    assert committer.result(waiting) == "a"


def test_what_fails_before_it_began_fails_its_caller(committer: Committer[Work]) -> None:
    def refuse(connection: Connection) -> None:
        raise NotFound("nobody")

    with pytest.raises(NotFound):
        committer.begin_alone(refuse, threading.Event())
    assert committer.commit(pause("a")) == "a"


def test_what_cannot_begin_in_time_never_does(committer: Committer[Work], path: Path) -> None:
    begun = threading.Event()
    with WriterLock(str(path)), pytest.raises(StoreBusy):
        committer.begin_alone(lambda connection: begun.set(), begun)
    committer.commit(pause("a"))
    assert not begun.is_set()


def test_all_jobs_of_a_turn_are_told_of_together(committer: Committer[Work], path: Path) -> None:
    told: list[int] = []
    committer.when_committed(lambda jobs: told.append(len(jobs)))
    for job in submit_behind_a_lock(committer, path, [pause(name) for name in "abcd"]):
        committer.result(job)
    committer.close()
    assert sum(told) == 4 and len(told) <= 2


def test_many_threads_each_get_their_own_receipts(store: Store) -> None:
    wrong: list[object] = []

    def run(number: int) -> None:
        for item in several(25, prefix=f"t{number}-"):
            (receipt,) = store.inbox.add([item])
            if receipt.key != item.key:
                wrong.append(receipt)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.reports.counts().pending == 32 * 25
