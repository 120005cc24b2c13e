"""One job, from its lease to its settled decision: what happens between two calls of the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from subscriber.dispatcher.decisions import RetryPolicy, Settled
from subscriber.dispatcher.handling import Handling
from subscriber.dispatcher.holds import Holds
from subscriber.dispatcher.leases import Job, Leases
from subscriber.errors import SinkUnavailable, StoreUnavailable
from subscriber.handlers import Retry, Route, keep
from subscriber.model import Notification, State
from subscriber.routes import Handler, RoutingTable, RunningAttempt
from subscriber.store import Store
from tests.dispatcher.stories import NOW, FaultyInbox, TurnableClock, notification, open_new_store, row_of

POLICY = RetryPolicy(max_attempts=3, base_seconds=10, max_seconds=3600)
SECONDS = 30.0


class Bench:
    """The parts around one Handling, and one stored notification."""

    def __init__(self, folder: Path) -> None:
        self.clock = TurnableClock()
        self.store: Store = open_new_store(folder, self.clock)
        self.inbox = FaultyInbox(self.store.inbox)
        self.holds = Holds()
        self.wanted = notification(source="pump", occurred_at=NOW)
        self.store.inbox.add([self.wanted])

    def build(self, handler: Handler = keep, latest_only: bool = False) -> Handling:
        self.route = Route(handler=handler, latest_only=latest_only)
        table = RoutingTable([self.route])
        self.leases = Leases(self.inbox, table, self.clock, SECONDS)
        return Handling(
            self.inbox,
            table,
            [],
            self.holds,
            self.leases,
            policy=POLICY,
            clock=self.clock,
            jitter=lambda: -0.4,  # waits of a hundredth of a second
            observer=None,
        )

    def take(self) -> list[Job]:
        return self.leases.take(self.store.inbox.lanes(), 5)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


def test_a_job_whose_lease_ran_out_before_it_started_is_left_to_whoever_has_the_row_now(bench: Bench) -> None:
    seen = list[int]()

    def handler(notification: Notification, attempt: RunningAttempt) -> None:
        seen.append(attempt.number)

    handling = bench.build(handler)
    [job] = bench.take()
    job.renew_at -= SECONDS  # as if the process had stood still for a lease's time
    handling.handle(job)
    assert (seen, handling.tally()) == ([], {Settled.LOST: 1})
    bench.clock.forward(seconds=SECONDS + 1)
    for following in bench.take():
        handling.handle(following)
    assert seen == [2]


def test_a_job_that_was_given_a_new_lease_while_it_ran_settles_by_that(bench: Bench) -> None:
    def slow(notification: Notification, attempt: RunningAttempt) -> None:
        bench.clock.forward(seconds=SECONDS + 1)
        assert bench.take() == [], "the dispatcher recognises its own row"

    handling = bench.build(slow)
    [job] = bench.take()
    handling.handle(job)
    assert handling.tally() == {Settled.DONE: 1}
    assert row_of(bench.store, bench.wanted).state is State.DONE


def test_a_new_lease_that_comes_between_reading_and_using_the_old_one_is_noticed(bench: Bench) -> None:
    handling = bench.build()
    [job] = bench.take()

    def first_settle_comes_late(name: str) -> None:
        if name == "settle":
            bench.inbox.before = lambda name: None
            bench.clock.forward(seconds=SECONDS + 1)
            bench.take()

    bench.inbox.before = first_settle_comes_late
    handling.handle(job)
    assert handling.tally() == {Settled.DONE: 1}


def test_a_row_that_is_due_at_once_and_leased_before_its_job_ends_runs_again(bench: Bench) -> None:
    numbers: list[int] = []

    def twice(notification: Notification, attempt: RunningAttempt) -> Retry | None:
        numbers.append(attempt.number)
        return Retry(bench.clock(), "again") if len(numbers) == 1 else None

    handling = bench.build(twice)

    def lease_right_after(name: str) -> None:
        if name == "settle" and len(numbers) == 1:
            assert bench.take() == []

    bench.inbox.after = lease_right_after
    [job] = bench.take()
    handling.handle(job)
    assert numbers == [1, 2] and handling.tally() == {Settled.RETRY: 1, Settled.DONE: 1}


def test_what_the_store_cannot_take_now_is_offered_until_it_can(bench: Bench) -> None:
    handling = bench.build()
    [job] = bench.take()
    bench.inbox.refused = {"settle"}
    bench.inbox.before = lambda name: bench.inbox.refused.clear() if bench.inbox.refusals == 3 else None
    handling.handle(job)
    assert (bench.inbox.refusals, handling.tally()) == (3, {Settled.DONE: 1})


def test_insisting_ends_when_the_process_closes(bench: Bench) -> None:
    handling = bench.build()
    [job] = bench.take()
    bench.inbox.refused = {"settle"}
    thread = threading.Thread(target=handling.handle, args=(job,))
    thread.start()
    handling.closing.set()
    thread.join(5)
    assert not thread.is_alive() and handling.tally() == {Settled.LOST: 1}


def test_whether_it_is_superseded_is_asked_until_the_store_answers(bench: Bench) -> None:
    bench.store.inbox.add([notification(source="pump", occurred_at=NOW + timedelta(minutes=1))])
    handling = bench.build(latest_only=True)
    job = next(job for job in bench.take() if job.attempt.notification == bench.wanted)
    bench.inbox.refused = {"superseded"}
    bench.inbox.before = lambda name: bench.inbox.refused.clear() if bench.inbox.refusals == 2 else None
    handling.handle(job)
    assert row_of(bench.store, bench.wanted).reason == "superseded"


def test_what_was_leased_before_its_route_was_held_or_its_lane_paused_is_put_back(bench: Bench) -> None:
    def never(notification: Notification, attempt: RunningAttempt) -> None:
        raise AssertionError("it ran")

    handling = bench.build(never)
    [job] = bench.take()
    handling.pauses = frozenset({("tenant", "mindsphere/custaa")})
    handling.handle(job)
    assert (row_of(bench.store, bench.wanted).reason, row_of(bench.store, bench.wanted).attempts) == ("paused", 0)
    handling.pauses = frozenset()
    [job] = bench.take()
    admission = bench.holds.admit(bench.route, bench.clock())
    bench.holds.report(bench.route, admission, away=True, now=bench.clock())
    handling.handle(job)
    row = row_of(bench.store, bench.wanted)
    assert (row.reason, row.attempts, row.not_before) == ("route_held", 0, bench.clock())


def test_unstarted_work_is_given_back_at_once_or_left_to_its_lease(bench: Bench) -> None:
    handling = bench.build()
    [job] = bench.take()
    handling.give_back(job)
    row = row_of(bench.store, bench.wanted)
    assert (row.state, row.reason, row.attempts) == (State.PENDING, "stopping", 0)
    [job] = bench.take()
    bench.inbox.refused = {"settle"}
    with pytest.raises(StoreUnavailable):
        handling.give_back(job)


def test_the_reason_and_detail_of_an_absent_receiver_are_kept_with_the_row(bench: Bench) -> None:
    def away(notification: Notification, attempt: RunningAttempt) -> None:
        raise SinkUnavailable("the receiver answered 503")

    handling = bench.build(away)
    handling.handle(bench.take()[0])
    row = row_of(bench.store, bench.wanted)
    assert (row.state, row.reason, row.detail) == (State.PENDING, "sink_unavailable", "the receiver answered 503")
