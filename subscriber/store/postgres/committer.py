"""Group commit: one thread commits for all callers of a process that wait at the same time.

Threads that want to write put their work into a queue and wait, each on a lock of its own. The committer takes
everything that waits and commits it together, in the order it came; what comes meanwhile shares the next commit. So
the busier the process, the more works share the price of a commit and of a round trip. Processes commit side by side:
the database joins their writes to the log.

What must never happen: a caller is told that its work is stored before the commit has returned; work that was
withdrawn is stored; one caller's bad row spoils another's; a commit whose answer was lost is taken for done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from subscriber.errors import StoreBusy, StoreUnavailable
from subscriber.store.forks import Forkable
from subscriber.store.postgres.driver import (
    COLLISION_KINDS,
    Connection,
    DriverError,
    about_the_data,
    refuse_broken,
    translated,
)

logger = logging.getLogger(__name__)

Work = TypeVar("Work")
Work_contra = TypeVar("Work_contra", contravariant=True)

COMMIT_SECONDS = 30.0  # the database ends a statement long before; a commit that takes longer is a disk that hangs
# Rows of one transaction: about 20 ms.
LARGEST_BATCH = 1000
COLLISIONS = (
    5  # times that a batch which met another one's locks is done again: each time one of the two gets through
)


class Performer(Protocol[Work_contra]):
    """How works are done."""

    def perform(self, connection: Connection, works: Sequence[Work_contra]) -> Sequence[object]:
        """Do all and commit, or nothing. One result for each work."""

    def follow_up(self, connection: Connection) -> float | None:
        """Called after each commit; best effort. Seconds until it wants to be called again without one, else None."""


class Job(Generic[Work]):
    """One caller's work on its way, and what became of it."""

    __slots__ = ("callback", "deadline", "done", "error", "finished", "outcome", "weight", "work")

    def __init__(self, work: Work, weight: int, patience_seconds: float) -> None:
        self.work = work
        self.weight = weight
        self.deadline = time.monotonic() + patience_seconds
        self.done = False
        self.outcome: object = None
        self.error: Exception | None = None
        self.callback: Callable[[], None] | None = None
        self.finished = threading.Lock()  # released when it is done
        self.finished.acquire()


class Committer(Forkable, Generic[Work]):
    """Commits one kind of work for this process. ``connect`` makes the connection it then keeps."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        performer: Performer[Work],
        *,
        patience_seconds: float,
    ) -> None:
        self._name = name
        self._connect = connect
        self._performer = performer
        self._patience = patience_seconds
        self.start_over()
        self.register()

    def start_over(self) -> None:
        """Begin with nothing, as in a new process. The thread starts with the first work."""
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._queue: deque[Job[Work]] = deque()
        self._mutex = threading.Lock()  # guards the queue, the flags, and whether a job is done
        self._wake = threading.Lock()
        self._wake.acquire()
        self._idle = False
        self._closed = False
        self.committed_at = float("-inf")  # `time.monotonic()` of the last commit

    def belongings(self) -> list[object]:
        return [self._connection]

    # The callers' side.

    def submit(self, work: Work, weight: int = 1) -> Job[Work]:
        """Hand in work without waiting for it. ``weight``: about how many rows it writes."""
        job = Job(work, weight, self._patience)
        with self._mutex:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._queue.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
            self._rouse()
        return job

    def commit(self, work: Work) -> object:
        """Hand in work and wait: see ``result``."""
        return self.result(self.submit(work))

    def result(self, job: Job[Work]) -> object:
        """Wait until a job is done, and return what its work did.

        Raises ``StoreBusy`` if its turn did not come in time (it is not stored then), ``StoreUnavailable`` if the
        database failed, or failed to say that it has committed.
        """
        in_time = job.finished.acquire(timeout=max(0.0, job.deadline - time.monotonic()))
        if not (in_time or self._withdrawn(job) or job.finished.acquire(timeout=COMMIT_SECONDS)):
            raise StoreUnavailable(f"a commit takes longer than {COMMIT_SECONDS:.0f} s: its outcome is unknown")
        job.finished.release()  # for whoever else asks
        if job.error is not None:
            raise job.error
        return job.outcome

    def when_done(self, job: Job[Work], callback: Callable[[], None]) -> None:
        """Have ``callback`` called once the job is done: now, or later by the committer, which it must not block."""
        with self._mutex:
            if not job.done:
                job.callback = callback
                return
        callback()

    def close(self) -> None:
        """Finish what waits, then let go of the connection."""
        with self._mutex:
            self._closed = True
            thread = self._thread
            self._rouse()
        if thread is not None:
            thread.join(self._patience)  # whoever waits for longer than that has been sent away

    def _rouse(self) -> None:
        if self._idle:
            self._idle = False
            self._wake.release()

    def _withdrawn(self, job: Job[Work]) -> bool:
        """Take a job back that the committer has not begun. False if it has."""
        with self._mutex:
            if job not in self._queue:
                return False
            self._queue.remove(job)
            job.done = True
        job.error = StoreBusy(f"the write waited {self._patience:.0f} s for its turn")
        return True

    # The committer's side.

    def _serve(self) -> None:
        wait_seconds: float | None = None
        while self._await_work(wait_seconds):
            jobs = self._take()
            if jobs:
                self._settle(jobs)
                self._finish(jobs)
            wait_seconds = self._follow_up()
        self._disconnect()

    def _await_work(self, wait_seconds: float | None) -> bool:
        """True when something waits or the time is over, False when the store was closed and nothing waits."""
        with self._mutex:
            if self._queue or self._closed:
                return bool(self._queue)
            self._idle = True
        roused = self._wake.acquire(timeout=-1 if wait_seconds is None else wait_seconds)
        with self._mutex:
            if not (roused or self._idle):
                self._wake.acquire()  # roused at the last moment: the lock is ours to take, at once
            self._idle = False
            return bool(self._queue) or not self._closed

    def _take(self) -> list[Job[Work]]:
        """The jobs of the next commit: all that wait, up to LARGEST_BATCH rows."""
        jobs: list[Job[Work]] = []
        rows = 0
        with self._mutex:
            while self._queue and rows < LARGEST_BATCH:
                rows += self._queue[0].weight
                jobs.append(self._queue.popleft())
        return jobs

    def _settle(self, jobs: Sequence[Job[Work]]) -> None:
        """Commit all of the jobs, or else leave each its error."""
        try:
            outcomes = self._commit(jobs)
        except Exception as error:  # the top of a thread: whatever one work raises, the others go on
            if isinstance(error, DriverError) and not about_the_data(error):
                self._refuse(jobs, error)
            else:
                self._find_the_culprit(jobs, error)
            return
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.outcome = outcome
        self.committed_at = time.monotonic()

    def _commit(self, jobs: Sequence[Job[Work]]) -> Sequence[object]:
        works = [job.work for job in jobs]
        for _ in range(COLLISIONS):
            try:
                return self._performer.perform(self._connected(), works)
            except COLLISION_KINDS:
                logger.info("%s meets another's locks", self._name, extra={"action": "collision"})
        return self._performer.perform(self._connected(), works)

    def _find_the_culprit(self, jobs: Sequence[Job[Work]], error: Exception) -> None:
        """One of the jobs is to blame: do each half alone."""
        if len(jobs) == 1:
            jobs[0].error = _for_its_caller(error)
            return
        middle = len(jobs) // 2
        self._settle(jobs[:middle])
        self._settle(jobs[middle:])

    def _refuse(self, jobs: Sequence[Job[Work]], error: Exception) -> None:
        self._disconnect()
        told = translated(error)
        logger.error(
            "%d writes failed: %s", len(jobs), told.detail, extra={"action": "commit", "reason": told.reason}
        )
        for job in jobs:
            job.error = _for_its_caller(error)

    def _finish(self, jobs: Sequence[Job[Work]]) -> None:
        with self._mutex:
            for job in jobs:
                job.done = True
        for job in jobs:
            job.finished.release()
            if job.callback is not None:
                _call(job.callback)

    def _follow_up(self) -> float | None:
        if self._connection is None:
            return None
        try:
            return self._performer.follow_up(self._connection)
        except DriverError:
            self._disconnect()  # the next work finds out whether the database is away
            return None

    def _connected(self) -> Connection:
        if self._connection is not None:
            try:
                refuse_broken(self._connection)
            except DriverError:
                self._disconnect()
        if self._connection is None:
            self._connection = self._connect()
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
    """The store's words for an error of the library or the data; what else a work raises stays as it is."""
    if not (isinstance(error, DriverError) or about_the_data(error)):
        return error
    told = translated(error)
    told.__cause__ = error
    return told
