"""Group commit: one thread writes for all of a process, one process after another.

Threads that want to write put their work into a queue and wait, each on a lock of its own. The committer waits for
the writer's lock, takes everything that waits by then, and commits it together; so the busier the service, the more
notifications share the price of a commit. It is a thread of its own rather than the first caller, because waiting
for a lock file has no time limit: callers give up after theirs, whoever may sit on the lock.

Every call into SQLite gives the interpreter's lock away, and under load getting it back takes longer than the call,
while other processes wait for the lock file. So work that can be done by a single statement is (``at_once``).

What must never happen: a caller is told that its work is stored before the commit has returned; work that was
withdrawn is stored; one caller's bad row spoils another's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from subscriber.errors import StoreBusy, StoreUnavailable, SubscriberError
from subscriber.model import to_millis
from subscriber.store.forks import Forkable
from subscriber.store.sqlite.driver import (
    Connection,
    DriverError,
    about_the_data,
    about_the_database,
    open_writer,
    unavailable,
)
from subscriber.store.sqlite.lockfile import WriterLock
from subscriber.store.sqlite.transaction import Transaction

logger = logging.getLogger(__name__)

Work = TypeVar("Work")
Work_contra = TypeVar("Work_contra", contravariant=True)

UNSTORABLE = "unstorable"  # reason: a value that no column takes
PATIENCE_SECONDS = 5.0  # the contract's limit for a write that waits for its turn
# A stranger's lock is waited out for less than that, so that callers learn the cause.
STRANGER_SHARE = 0.5
COMMIT_SECONDS = 30.0  # a commit that takes longer is a disk that hangs
ALONE_SECONDS = 3600.0  # compacting copies the database; an hour is 100 GB on a slow disk
# One transaction keeps the writer's lock: about 20 ms for this many rows.
LARGEST_BATCH = 1000


class Performer(Protocol[Work_contra]):
    """How works are done. Both methods return one result for each work."""

    def at_once(self, connection: Connection, now: int, works: Sequence[Work_contra]) -> Sequence[object] | None:
        """Do all by one statement, which commits itself; None if that cannot be, and then nothing has changed."""

    def perform(self, transaction: Transaction, works: Sequence[Work_contra]) -> Sequence[object]:
        """Do all inside a transaction. Whatever this raises, the transaction is rolled back."""


class Job:
    """One caller's work on its way, and what became of it."""

    __slots__ = ("callback", "deadline", "done", "error", "finished", "outcome", "weight", "work")

    def __init__(self, work: Any, weight: int, patience_seconds: float) -> None:
        self.work = work
        self.weight = weight
        self.deadline = time.monotonic() + patience_seconds
        self.done = False
        self.outcome: object = None
        self.error: Exception | None = None
        self.callback: Callable[[], None] | None = None
        self.finished = threading.Lock()  # released when it is done
        self.finished.acquire()


class Alone(Job):
    """Work that needs the writer's turn, but no transaction around it."""


class Committer(Forkable, Generic[Work]):
    """The only writer of this process. Works that fail together are done again one by one."""

    def __init__(
        self,
        path: str,
        performer: Performer[Work],
        clock: Callable[[], datetime],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._path = path
        self._performer = performer
        self._clock = clock
        self._patience = patience_seconds
        self._on_commit: Callable[[Sequence[Job]], None] | None = None
        self._writer_lock = WriterLock(path)
        self._connection: Connection | None = None
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin with nothing, as in a new process. The thread starts with the first work."""
        self._writer_lock.close()
        self._connection = None
        self._thread: threading.Thread | None = None
        self._queue: deque[Job] = deque()
        self._mutex = threading.Lock()  # guards the queue, the flags, and whether a job is done
        self._wake = threading.Lock()
        self._wake.acquire()
        self._idle = False
        self._closed = False
        self.committed_at = float("-inf")  # `time.monotonic()` of the last commit

    def belongings(self) -> list[object]:
        return [self._connection]

    # The callers' side.

    def submit(self, work: Work, weight: int = 1) -> Job:
        """Hand in work without waiting for it. ``weight``: about how many rows it writes."""
        return self._enqueue(Job(work, weight, self._patience))

    def commit(self, work: Work) -> object:
        """Hand in work and wait: see ``result``."""
        return self.result(self.submit(work))

    def alone(self, work: Callable[[Connection], object]) -> None:
        """Run something that cannot run inside a transaction, while nobody else writes, and wait for it."""
        self.result(self._enqueue(Alone(work, 0, self._patience)), ALONE_SECONDS)

    def begin_alone(self, work: Callable[[Connection], object], begun: threading.Event) -> Job:
        """The same, but wait only until it says by ``begun`` that it has begun; ``result`` waits for its end.

        Raises what ``result`` would if it never began.
        """
        job = self._enqueue(Alone(work, 0, self._patience))
        self.when_done(job, begun.set)
        if not begun.wait(self._patience) and self._withdrawn(job):
            assert job.error is not None
            raise job.error
        if not begun.wait(COMMIT_SECONDS):
            raise StoreUnavailable(f"a transaction did not begin within {COMMIT_SECONDS:.0f} s")
        if job.done:
            self.result(job)
        return job

    def when_committed(self, callback: Callable[[Sequence[Job]], None]) -> None:
        """Have ``callback`` told of all jobs of each turn, failed ones included, after their callers.

        There is one such callback; the committer's thread calls it, and it must not block.
        """
        self._on_commit = callback

    def result(self, job: Job, limit_seconds: float = COMMIT_SECONDS) -> object:
        """Wait until a job is done, and return what its work did.

        Raises ``StoreBusy`` if its turn did not come in time (it is not stored then), ``StoreUnavailable`` if the
        database failed, and what the work itself raised.
        """
        in_time = job.finished.acquire(timeout=max(0.0, job.deadline - time.monotonic()))
        if not (in_time or self._withdrawn(job) or job.finished.acquire(timeout=limit_seconds)):
            raise StoreUnavailable(f"a commit takes longer than {limit_seconds:.0f} s: its outcome is unknown")
        job.finished.release()  # for whoever else asks
        if job.error is not None:
            raise job.error
        return job.outcome

    def when_done(self, job: Job, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once the job is done: now, or later by the committer, which it must not block."""
        with self._mutex:
            if not job.done:
                job.callback = callback
                return
        callback()

    def close(self) -> None:
        """Finish what waits, then let go of the database."""
        with self._mutex:
            self._closed = True
            thread = self._thread
            self._rouse()
        if thread is not None:
            thread.join(self._patience)  # whoever waits for longer than that has been sent away

    def _enqueue(self, job: Job) -> Job:
        with self._mutex:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._queue.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="committer", daemon=True)
                self._thread.start()
            self._rouse()
        return job

    def _rouse(self) -> None:
        if self._idle:
            self._idle = False
            self._wake.release()

    def _withdrawn(self, job: Job) -> bool:
        """Take work back whose turn has not come. False if it is being committed: then that has to be awaited."""
        with self._mutex:
            if job not in self._queue:
                return False
            self._queue.remove(job)
            job.done = True
        job.error = StoreBusy(f"the write waited {self._patience:.0f} s for its turn")
        return True

    # The committer's side.

    def _serve(self) -> None:
        while self._await_work():
            self._finish(self._take_turn())
        self._disconnect()
        self._writer_lock.close()

    def _await_work(self) -> bool:
        """True when something waits, False when the store was closed and nothing does."""
        while True:
            with self._mutex:
                if self._queue or self._closed:
                    return bool(self._queue)
                self._idle = True
            self._wake.acquire()

    def _take_turn(self) -> Sequence[Job]:
        """Wait for the lock, then do what waits. Callers are told after the lock is free again."""
        try:
            with self._writer_lock:
                return self._write()
        except OSError as error:
            return self._refuse_all(StoreUnavailable(f"the lock file cannot be used: {error.strerror}"), error)

    def _write(self) -> Sequence[Job]:
        try:
            connection = self._connected()
        except DriverError as error:
            return self._refuse_all(unavailable(error), error)
        jobs = self._take()  # only now: until here they may have been withdrawn, and more have come
        if len(jobs) == 1 and isinstance(jobs[0], Alone):
            self._run_alone(connection, jobs[0])
        elif jobs:
            self._settle(connection, jobs)
        return jobs

    def _take(self) -> list[Job]:
        """The jobs of the next commit: all that wait, up to LARGEST_BATCH rows; or one that has to be alone."""
        jobs: list[Job] = []
        rows = 0
        with self._mutex:
            while self._queue and rows < LARGEST_BATCH:
                if isinstance(self._queue[0], Alone):
                    return jobs or [self._queue.popleft()]
                rows += self._queue[0].weight
                jobs.append(self._queue.popleft())
        return jobs

    def _settle(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Commit all of the jobs, or else leave each its error."""
        try:
            self._commit(connection, jobs)
        except Exception as error:  # the works are callers' code: what one raises must not stop the others
            if isinstance(error, DriverError) and about_the_database(error):
                self._disconnect()
                self._refuse(jobs, unavailable(error), error)
            else:
                self._find_the_culprit(connection, jobs, error)

    def _commit(self, connection: Connection, jobs: Sequence[Job]) -> None:
        works = [job.work for job in jobs]
        now = to_millis(self._clock())
        outcomes = self._performer.at_once(connection, now, works)
        if outcomes is None:
            connection.execute("BEGIN IMMEDIATE")
            transaction = Transaction(connection, now)
            outcomes = self._performer.perform(transaction, works)
            transaction.write_counters()
            connection.execute("COMMIT")
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.outcome = outcome
        self.committed_at = time.monotonic()

    def _find_the_culprit(self, connection: Connection, jobs: Sequence[Job], error: Exception) -> None:
        """One of the jobs is to blame: do each alone."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if len(jobs) == 1:
            jobs[0].error = _for_its_caller(error)
            return
        for job in jobs:
            self._settle(self._connected(), [job])

    def _run_alone(self, connection: Connection, job: Job) -> None:
        try:
            job.outcome = job.work(connection)
        except SubscriberError as error:  # said on purpose: the connection is as it was
            job.error = error
        except Exception as error:  # as in `_settle`
            self._disconnect()
            job.error = _for_its_caller(error)

    def _refuse_all(self, refusal: StoreUnavailable, cause: Exception) -> Sequence[Job]:
        """Tell everybody who waits that it cannot be done."""
        with self._mutex:
            jobs = list(self._queue)
            self._queue.clear()
        self._refuse(jobs, refusal, cause)
        return jobs

    def _refuse(self, jobs: Sequence[Job], refusal: StoreUnavailable, cause: Exception) -> None:
        logger.error(
            "%d writes failed: %s", len(jobs), refusal.detail, extra={"action": "commit", "reason": refusal.reason}
        )
        for job in jobs:
            job.error = StoreUnavailable(refusal.detail)
            job.error.__cause__ = cause

    def _finish(self, jobs: Sequence[Job]) -> None:
        with self._mutex:
            for job in jobs:
                job.done = True
        for job in jobs:
            job.finished.release()
            if job.callback is not None:
                _call(job.callback)
        if self._on_commit is not None:
            _call(partial(self._on_commit, jobs))

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = open_writer(self._path, lock_wait_seconds=self._patience * STRANGER_SHARE)
        return self._connection

    def _disconnect(self) -> None:
        """Drop the connection and with it an open transaction; the next work makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # a stranger's code at the top of our thread: the next commit must go on
        logger.exception("a callback failed", extra={"action": "callback"})


def _for_its_caller(error: Exception) -> Exception:
    """What the caller whose work failed alone gets to see: the store's words for a driver's error, else its own."""
    if about_the_data(error):
        # Codecs let no such value through; if one does, nothing is acknowledged. The value is not shown.
        told = StoreUnavailable(f"a value cannot be stored ({type(error).__name__})", reason=UNSTORABLE)
    elif isinstance(error, DriverError):
        told = unavailable(error)
    else:
        return error
    told.__cause__ = error
    return told
