"""Threads for jobs: no route takes all of them, and an end is an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from subscriber.dispatcher.crew import Crew
from subscriber.dispatcher.leases import Job
from subscriber.handlers import keep
from subscriber.model import Attempt
from subscriber.routes import Route, RunningAttempt
from tests.dispatcher.stories import NOW, notification, until

SLOW, QUICK = Route(handler=keep), Route(handler=keep)


def job(route: Route | None = QUICK) -> Job:
    attempt = Attempt(seq=1, notification=notification(), number=1, lease_until=NOW, lease=1)
    return Job(attempt, route, RunningAttempt(1, NOW), 0.0)


@contextmanager
def at_work(crew: Crew) -> Iterator[Crew]:
    crew.start()
    try:
        yield crew
    finally:
        crew.withdraw()
        assert crew.join(5)


class Work:
    """Remembers what runs. Jobs of SLOW wait for ``open``."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.started: list[Job] = []
        self.ended: list[Job] = []

    def __call__(self, job: Job) -> None:
        self.started.append(job)
        if job.route is SLOW:
            self.open.wait(5)
        self.ended.append(job)


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.open.set()


def ignore() -> None:
    """Nobody waits for room."""


def test_a_slow_route_leaves_threads_to_the_others(work: Work) -> None:
    with at_work(Crew("t", 4, 2, work, ignore)) as crew:
        for _ in range(6):
            crew.put(job(SLOW))
        until(lambda: len(work.started) == 2)
        for _ in range(20):
            crew.put(job(QUICK))
        until(lambda: len(work.ended) == 20)
        assert len(work.started) == 22, "the slow route never got more than its half"
        work.open.set()
        until(lambda: len(work.ended) == 26)


def test_jobs_start_in_the_order_they_came(work: Work) -> None:
    crew, jobs = Crew("t", 4, 2, work, ignore), [job() for _ in range(5)]
    for each in jobs:
        crew.put(each)
    crew.work_off()
    assert work.ended == jobs


def test_room_is_two_jobs_for_each_thread_and_none_while_enough_can_start(work: Work) -> None:
    crew = Crew("t", 4, 4, work, ignore)
    assert crew.room() == 8
    for left in (7, 6, 5, 4):
        crew.put(job())
        assert crew.room() == left
    crew.put(job(SLOW))
    assert crew.room() == 0


def test_jobs_waiting_for_their_own_route_take_no_room_from_others_but_the_route_gets_no_more(work: Work) -> None:
    crew = Crew("t", 4, 2, work, ignore)
    for _ in range(4):
        crew.put(job(SLOW))
    assert crew.room() == 6
    assert not crew.accepts(SLOW) and crew.accepts(QUICK)
    assert crew.busy_with(SLOW) and not crew.busy_with(QUICK)


def test_whoever_waits_for_room_is_told(work: Work) -> None:
    freed = threading.Event()
    with at_work(Crew("t", 1, 1, work, freed.set)) as crew:
        crew.put(job())
        assert freed.wait(5)


def test_a_withdrawn_crew_finishes_what_it_began_and_returns_the_rest(work: Work) -> None:
    crew = Crew("t", 2, 1, work, ignore)
    crew.start()
    begun, waiting = job(SLOW), job(SLOW)
    crew.put(begun)
    crew.put(waiting)
    until(lambda: work.started == [begun])
    assert crew.withdraw() == [waiting]
    assert not crew.join(0.01), "the handler still runs"
    work.open.set()
    assert crew.join(5) and work.ended == [begun]


def test_threads_do_not_keep_a_process_from_ending() -> None:
    before = set(threading.enumerate())
    with at_work(Crew("t", 2, 1, lambda job: None, ignore)):
        hired = set(threading.enumerate()) - before
        assert len(hired) == 2 and all(thread.daemon for thread in hired)


def test_a_bug_in_our_own_code_costs_a_job_and_not_the_thread(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    broken = job()

    def run(job: Job) -> None:
        if job is broken:
            raise AssertionError("a bug")
        work(job)

    crew, whole = Crew("t", 1, 1, run, ignore), job()
    with at_work(crew):
        crew.put(broken)
        crew.put(whole)
        until(lambda: work.ended == [whole])
    assert [record.__dict__["action"] for record in caplog.records] == ["job_failed"]


def test_a_crew_can_start_again_after_its_end(work: Work) -> None:
    crew = Crew("t", 1, 1, work, ignore)
    with at_work(crew):
        pass
    with at_work(crew):
        crew.put(job())
        until(lambda: len(work.ended) == 1)
