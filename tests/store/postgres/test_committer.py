"""Group commit, and everything that can go wrong with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from psycopg import errors

from subscriber.errors import NotFound, StoreBusy, StoreUnavailable
from subscriber.store.postgres.committer import COLLISIONS, LARGEST_BATCH, Committer
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from tests.servers.postgres import Server
from tests.store.postgres.asking import aside, ask

Work = Callable[[Connection], object]
SOON = 0.3  # seconds of patience: long enough for a commit, short enough for a test
PAUSE = "INSERT INTO pauses (kind, name, since) VALUES ('topic', %s, 0)"


class Recorder:
    """Does works that are functions, in one transaction, and remembers how many it was given at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.followed_up = threading.Event()

    def perform(self, connection: Connection, works: Sequence[Work]) -> Sequence[object]:
        self.batches.append(len(works))
        with connection.transaction():
            return [work(connection) for work in works]

    def follow_up(self, connection: Connection) -> float | None:
        self.followed_up.set()
        return None


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def committer(database: Database, recorder: Recorder) -> Iterator[Committer[Work]]:
    with closing(Committer("test", database.connect, recorder, patience_seconds=SOON)) as committer:
        yield committer


class Gate:
    """A work that keeps the committer busy until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(10)


def pausing(name: str) -> Work:
    return lambda connection: connection.execute(PAUSE, (name,)).rowcount  # type: ignore[arg-type]


def names(url: str) -> list[str]:
    return [name for (name,) in ask(url, "SELECT name FROM pauses ORDER BY name")]


def blocked(committer: Committer[Work]) -> Gate:
    gate = Gate()
    committer.submit(gate)
    assert gate.entered.wait(10)
    return gate


def test_what_waits_at_the_same_time_is_committed_together(committer: Committer[Work], recorder: Recorder) -> None:
    gate = blocked(committer)
    jobs = [committer.submit(pausing(str(number))) for number in range(20)]
    gate.opened.set()
    assert [committer.result(job) for job in jobs] == [1] * 20
    assert recorder.batches == [1, 20]


def test_one_commit_has_its_limit(committer: Committer[Work], recorder: Recorder) -> None:
    gate = blocked(committer)
    jobs = [committer.submit(pausing(str(number)), LARGEST_BATCH // 2) for number in range(5)]
    gate.opened.set()
    for job in jobs:
        committer.result(job)
    assert recorder.batches == [1, 2, 2, 1]


def test_a_work_that_fails_does_not_spoil_the_others(committer: Committer[Work], url: str) -> None:
    def failing(connection: Connection) -> None:
        raise NotFound

    gate = blocked(committer)
    jobs = [committer.submit(failing if number == 5 else pausing(str(number))) for number in range(9)]
    gate.opened.set()
    for number, job in enumerate(jobs):
        if number == 5:
            with pytest.raises(NotFound):
                committer.result(job)
        else:
            committer.result(job)
    assert names(url) == [str(number) for number in range(9) if number != 5]


def test_a_write_whose_turn_does_not_come_is_withdrawn(committer: Committer[Work], url: str) -> None:
    gate = blocked(committer)
    with pytest.raises(StoreBusy):
        committer.commit(pausing("late"))
    gate.opened.set()
    committer.commit(pausing("in time"))
    assert names(url) == ["in time"]


def test_two_that_wait_for_each_other_are_sorted_out(database: Database, url: str) -> None:
    """One is broken off by the database and done again."""
    meet = threading.Barrier(2)

    def crossing(*order: str) -> Work:
        tried = iter(range(10))

        def work(connection: Connection) -> int:
            connection.execute(UPSERT, (order[0],))
            if next(tried) == 0:
                meet.wait(10)
            return connection.execute(UPSERT, (order[1],)).rowcount

        return work

    with (
        closing(Committer("one", database.connect, Recorder(), patience_seconds=10)) as one,
        closing(Committer("two", database.connect, Recorder(), patience_seconds=10)) as two,
    ):
        jobs = [one.submit(crossing("a", "b")), two.submit(crossing("b", "a"))]
        assert [one.result(jobs[0]), two.result(jobs[1])] == [1, 1]
    assert names(url) == ["a", "b"]


UPSERT = PAUSE + " ON CONFLICT (kind, name) DO UPDATE SET since = pauses.since + 1"


def test_who_collides_again_and_again_is_told_to_come_later(committer: Committer[Work], recorder: Recorder) -> None:
    def colliding(connection: Connection) -> None:
        raise errors.DeadlockDetected

    with pytest.raises(StoreBusy):
        committer.commit(colliding)
    assert recorder.batches == [1] * (COLLISIONS + 1)


def test_a_session_that_was_ended_between_two_commits_is_replaced(
    committer: Committer[Work], server: Server, url: str
) -> None:
    committer.commit(pausing("before"))
    server.terminate(url)
    committer.commit(pausing("after"))
    assert names(url) == ["after", "before"]


def test_a_session_that_ends_in_the_middle_is_an_error_and_nothing_is_stored(
    committer: Committer[Work], server: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def cut_off(connection: Connection) -> None:
        connection.execute(PAUSE, ("lost",))
        server.terminate(url)

    with caplog.at_level(logging.ERROR), pytest.raises(StoreUnavailable):
        committer.commit(cut_off)
    assert [record.__dict__["action"] for record in caplog.records] == ["commit"]
    committer.commit(pausing("later"))
    assert names(url) == ["later"]


def test_what_waits_for_a_lock_too_long_is_told_so_and_nothing_is_stored(
    database: Database, recorder: Recorder, url: str
) -> None:
    def hasty() -> Connection:
        return database.connect({"statement_timeout": "100ms"})

    with aside(url) as other, closing(Committer("hasty", hasty, recorder, patience_seconds=5)) as committer:
        other.execute(PAUSE, ("taken",))
        with pytest.raises(StoreBusy):
            committer.commit(pausing("taken"))
        other.rollback()
    assert names(url) == []


def test_it_is_followed_up_once_those_who_waited_were_told(committer: Committer[Work], recorder: Recorder) -> None:
    committer.commit(pausing("one"))
    assert recorder.followed_up.wait(5)


def test_a_callback_that_fails_hinders_nobody(
    committer: Committer[Work], caplog: pytest.LogCaptureFixture, url: str
) -> None:
    def failing() -> None:
        raise KeyError

    gate = blocked(committer)
    committer.when_done(committer.submit(pausing("one")), failing)
    gate.opened.set()
    committer.commit(pausing("two"))
    assert names(url) == ["one", "two"]
    assert [record.__dict__["action"] for record in caplog.records if record.levelno == logging.ERROR] == ["callback"]


def test_closing_finishes_what_waits_and_takes_nothing_more(committer: Committer[Work], url: str) -> None:
    job = committer.submit(pausing("last"))
    committer.close()
    assert committer.result(job) == 1
    with pytest.raises(StoreUnavailable):
        committer.submit(pausing("later"))
    assert names(url) == ["last"]


class Timer(Recorder):
    """Wants to be called again after a while, a few times."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[float] = []

    def follow_up(self, connection: Connection) -> float | None:
        self.calls.append(time.monotonic())
        if len(self.calls) == 3:
            self.followed_up.set()
            return None
        return 0.01


def test_a_follow_up_may_ask_to_be_called_again_though_nothing_comes(database: Database) -> None:
    timer = Timer()
    with closing(Committer("timed", database.connect, timer, patience_seconds=SOON)) as committer:
        committer.commit(pausing("one"))
        assert timer.followed_up.wait(5)
        committer.commit(pausing("two"))
