"""Group commit: one thread writes for all of a process, one process after another.

Threads that want to write put their work into a queue and wait, each on a lock of its own. The committer waits for
the writer's lock, takes everything that waits by then, and commits it in one transaction; so the busier the
service, the more notifications share the price of a commit. It is a thread of its own rather than the first caller,
because waiting for a lock file has no time limit: callers give up after theirs, whoever may sit on the lock.

What must never happen: a caller is told that its work is stored before the commit has returned; work that was
withdrawn is stored; one caller's bad row spoils another's.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from subscriber.errors import MalformedDelivery, StoreBusy, StoreUnavailable
from subscriber.model import to_millis
from subscriber.store.sqlite.driver import (
    Connection,
    DriverError,
    about_the_data,
    about_the_database,
    open_writer,
    unavailable,
)
from subscriber.store.sqlite.forks import Forkable
from subscriber.store.sqlite.lockfile import WriterLock
from subscriber.store.sqlite.transaction import Transaction

logger = logging.getLogger(__name__)

Work = TypeVar("Work")

PATIENCE_SECONDS = 5.0  # the contract's limit for a write that waits for its turn
# A stranger's lock is waited out for less than that, so that the callers learn the cause.
STRANGER_SHARE = 0.8
COMMIT_SECONDS = 30.0  # a commit that takes longer is a disk that hangs
ALONE_SECONDS = 3600.0  # compacting copies the database; an hour is 100 GB on a slow disk
# One transaction keeps the writer's lock: about 20 ms for this many rows.
LARGEST_BATCH = 1000


class Job(Generic[Work]):
    """One caller's work, and what became of it once ``finished`` is released."""

    __slots__ = ("error", "finished", "result", "weight", "work")

    def __init__(self, work: Work, weight: int) -> None:
        self.work = work
        self.weight = weight
        self.result: object = None
        self.error: Exception | None = None
        self.finished = threading.Lock()
        self.finished.acquire()


class Alone(Job[Any]):
    """Work that needs the writer's turn, but no transaction around it."""


class Committer(Forkable, Generic[Work]):
    """The only writer of this process.

    ``perform`` does a batch of works inside a transaction and returns one result for each. If it raises because of
    a row's values, it is called again for each work alone, in a transaction of its own.
    """

    def __init__(
        self,
        path: str,
        perform: Callable[[Transaction, Sequence[Work]], Sequence[object]],
        clock: Callable[[], datetime],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._path = path
        self._perform = perform
        self._clock = clock
        self._patience = patience_seconds
        self._writer_lock = WriterLock(path)
        self._connection: Connection | None = None
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin with nothing, as in a new process. The thread starts with the first work."""
        self._writer_lock.close()
        self._connection = None
        self._thread: threading.Thread | None = None
        self._queue: deque[Job[Any]] = deque()
        self._mutex = threading.Lock()  # guards the queue and the two flags
        self._wake = threading.Lock()
        self._wake.acquire()
        self._idle = False
        self._closed = False
        self.committed_at = float("-inf")  # `time.monotonic()` of the last commit

    def belongings(self) -> list[object]:
        return [self._connection]

    def commit(self, work: Work, weight: int = 1) -> object:
        """Have work committed and return its result. ``weight``: about how many rows it writes.

        Raises ``StoreBusy`` if its turn did not come in time (it is not stored then), ``StoreUnavailable`` if the
        database failed, and what the work itself raised.
        """
        return self._wait(self._enqueue(Job(work, weight)), COMMIT_SECONDS)

    def alone(self, work: Callable[[Connection], object]) -> None:
        """Run something that cannot run inside a transaction, while nobody else writes."""
        self._wait(self._enqueue(Alone(work, 0)), ALONE_SECONDS)

    def close(self) -> None:
        """Finish what waits, then let go of the database."""
        with self._mutex:
            self._closed = True
            thread = self._thread
            self._rouse()
        if thread is not None:
            thread.join(self._patience + COMMIT_SECONDS)

    # --- the callers' side

    def _enqueue(self, job: Job[Any]) -> Job[Any]:
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

    def _wait(self, job: Job[Any], limit_seconds: float) -> object:
        if not job.finished.acquire(timeout=self._patience):
            self._withdraw(job)
            if not job.finished.acquire(timeout=limit_seconds):
                raise StoreUnavailable(f"a commit takes longer than {limit_seconds:.0f} s: its outcome is unknown")
        if job.error is not None:
            raise job.error
        return job.result

    def _withdraw(self, job: Job[Any]) -> None:
        """Take work back whose turn has not come. Does nothing if it is being committed."""
        with self._mutex:
            if job not in self._queue:
                return
            self._queue.remove(job)
        raise StoreBusy(f"the write waited {self._patience:.0f} s for its turn")

    # --- the committer's side

    def _serve(self) -> None:
        while self._await_work():
            for job in self._take_turn():
                job.finished.release()
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

    def _take_turn(self) -> Sequence[Job[Any]]:
        """Wait for the lock, then do what waits. Callers are told after the lock is free again."""
        try:
            with self._writer_lock:
                return self._write()
        except OSError as error:
            return self._refuse(StoreUnavailable(f"the lock file cannot be used: {error.strerror}"), error)

    def _write(self) -> Sequence[Job[Any]]:
        try:
            connection = self._connected()
            alone = self._take_alone()
            if alone is not None:
                return self._run_alone(connection, alone)
            connection.execute("BEGIN IMMEDIATE")
        except DriverError as error:
            self._disconnect()
            return self._refuse(unavailable(error), error)
        jobs = self._take()  # only now: until here they may have been withdrawn, and more have come
        self._settle(connection, jobs)
        return jobs

    def _settle(self, connection: Connection, jobs: Sequence[Job[Any]]) -> None:
        """Do all of it in the transaction that was begun and commit, or else leave each job its error."""
        try:
            self._transact(connection, jobs)
        except Exception as error:  # the works are callers' code: what one raises must not stop the others
            if isinstance(error, DriverError) and about_the_database(error):
                self._disconnect()
                self._blame(jobs, unavailable(error), error)
            else:
                self._retry_each(connection, jobs, error)

    def _transact(self, connection: Connection, jobs: Sequence[Job[Any]]) -> None:
        transaction = Transaction(connection, to_millis(self._clock()), os.getpid())
        results = self._perform(transaction, [job.work for job in jobs])
        transaction.write_counters()
        for job, result in zip(jobs, results, strict=True):
            job.result = result
        connection.execute("COMMIT")
        self.committed_at = time.monotonic()

    def _retry_each(self, connection: Connection, jobs: Sequence[Job[Any]], error: Exception) -> None:
        """One of the jobs is to blame: find out which, and do the others."""
        connection.execute("ROLLBACK")
        if len(jobs) == 1:
            jobs[0].error = _for_its_caller(error)
            return
        for job in jobs:
            self._write_one(job)

    def _write_one(self, job: Job[Any]) -> None:
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
        except DriverError as error:
            self._disconnect()
            self._blame([job], unavailable(error), error)
        else:
            self._settle(connection, [job])

    def _run_alone(self, connection: Connection, job: Job[Any]) -> Sequence[Job[Any]]:
        try:
            job.result = job.work(connection)
        except Exception as error:  # as in `_settle`
            self._disconnect()
            job.error = _for_its_caller(error)
        return [job]

    def _take_alone(self) -> Job[Any] | None:
        with self._mutex:
            if self._queue and isinstance(self._queue[0], Alone):
                return self._queue.popleft()
        return None

    def _take(self) -> list[Job[Any]]:
        """The jobs of the next transaction: all that wait, up to LARGEST_BATCH rows."""
        jobs: list[Job[Any]] = []
        rows = 0
        with self._mutex:
            while self._queue and rows < LARGEST_BATCH and not isinstance(self._queue[0], Alone):
                job = self._queue.popleft()
                rows += job.weight
                jobs.append(job)
        return jobs

    def _refuse(self, refusal: StoreUnavailable, cause: Exception) -> Sequence[Job[Any]]:
        """Tell everybody who waits that it cannot be done."""
        with self._mutex:
            jobs = list(self._queue)
            self._queue.clear()
        self._blame(jobs, refusal, cause)
        return jobs

    def _blame(self, jobs: Sequence[Job[Any]], refusal: StoreUnavailable, cause: Exception) -> None:
        logger.error(
            "%d writes failed: %s", len(jobs), refusal.detail, extra={"action": "commit", "reason": refusal.reason}
        )
        for job in jobs:
            job.error = StoreUnavailable(refusal.detail)
            job.error.__cause__ = cause

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = open_writer(self._path, lock_wait_seconds=self._patience * STRANGER_SHARE)
        return self._connection

    def _disconnect(self) -> None:
        """Drop the connection and with it an open transaction; the next work makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _for_its_caller(error: Exception) -> Exception:
    """What the caller whose work failed alone gets to see: the store's words for a driver's error, else its own."""
    if about_the_data(error):
        # The value is not repeated: it may be anything.
        told: Exception = MalformedDelivery(f"a value cannot be stored ({type(error).__name__})", reason="unstorable")
    elif isinstance(error, DriverError):
        told = unavailable(error)
    else:
        return error
    told.__cause__ = error
    return told
