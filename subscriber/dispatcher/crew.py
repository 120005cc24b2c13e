"""The threads that run jobs, and the jobs that wait for one of them.

A route may occupy only so many threads, so that a slow one leaves room for the others. Threads are daemons: a handler
that never returns must not keep the process from ending. Threads start in ``start``, never on construction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from subscriber.dispatcher.leases import Job
from subscriber.routes import Route

logger = logging.getLogger(__name__)


class Crew:
    """Runs jobs in the order they came, as far as their routes have a thread left.

    ``work`` runs one job, ``freed`` is called when one is over and there is room again. Both on the crew's threads.
    """

    def __init__(
        self, name: str, threads: int, per_route: int, work: Callable[[Job], None], freed: Callable[[], None]
    ) -> None:
        self._name = name
        self._size = threads
        self._per_route = per_route
        self._work = work
        self._freed = freed
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Counter[Route | None] = Counter()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads."""
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{self._name}-{number}", daemon=True)
            for number in range(1, self._size + 1)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Queue a job; ``room`` and ``accepts`` say when that is welcome."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def room(self) -> int:
        """How many jobs to lease now: none while enough can start, then up to two for each thread.

        Jobs that wait for their own route's threads do not count: a slow route must not use up the room of others.
        """
        with self._changed:
            load = self._running.total() + self._startable_count()
        return 0 if load > self._size else 2 * self._size - load

    def accepts(self, route: Route | None) -> bool:
        """Does the route have fewer jobs waiting than it may run? More of them would only be leased and lie here."""
        with self._changed:
            return sum(job.route is route for job in self._waiting) < self._per_route

    def busy_with(self, route: Route | None) -> bool:
        """Is a job of the route here, running or waiting?"""
        with self._changed:
            return self._running[route] > 0 or any(job.route is route for job in self._waiting)

    def work_off(self) -> None:
        """Run what waits in the calling thread, instead of ``start``."""
        while (job := self._next()) is not None:
            self._run_one(job)

    def withdraw(self) -> list[Job]:
        """Take no more jobs: threads end after the one they are at. Returns the jobs that had not started."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        return waiting

    def join(self, seconds: float) -> bool:
        """Wait for the threads of a withdrawn crew. False if some still run."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (job := self._wait_for_next()) is not None:
            self._run_one(job)

    def _run_one(self, job: Job) -> None:
        try:
            self._work(job)
        except Exception:  # top of a thread: a bug of ours costs this job's lease, not the thread
            logger.exception("a job failed outside its handler", extra={"action": "job_failed"})
        finally:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        with self._changed:
            # Nobody to notify: what this route had waiting for a thread, this thread takes next.
            self._running[job.route] -= 1
        if self.room():
            self._freed()

    def _wait_for_next(self) -> Job | None:
        with self._changed:
            while (job := self._next()) is None and not self._closed:
                self._changed.wait()
        return job

    def _next(self) -> Job | None:
        """Take the first job whose route has a thread left."""
        with self._changed:
            for position, job in enumerate(self._waiting):
                if self._running[job.route] < self._per_route:
                    del self._waiting[position]
                    self._running[job.route] += 1
                    return job
        return None

    def _startable_count(self) -> int:
        waiting = Counter(job.route for job in self._waiting)
        return sum(min(count, self._per_route - self._running[route]) for route, count in waiting.items())
