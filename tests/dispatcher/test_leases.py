"""Leases of this process: renewed in time, adopted after an outage, let go when settled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from subscriber.dispatcher.leases import Job, Leases
from subscriber.errors import StoreUnavailable
from subscriber.handlers import Done, Retry, keep
from subscriber.model import Lane
from subscriber.routes import Route, RoutingTable
from subscriber.store import Store
from tests.dispatcher.stories import FaultyInbox, TurnableClock, notification, open_new_store

ROUTE = Route(handler=keep)
TABLE = RoutingTable([ROUTE])
SECONDS = 30.0


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def store(tmp_path: Path, clock: TurnableClock) -> Iterator[Store]:
    store = open_new_store(tmp_path, clock)
    yield store
    store.close()


def lanes(store: Store) -> list[Lane]:
    return store.inbox.lanes()


def take_one(store: Store, leases: Leases) -> Job:
    store.inbox.add([notification()])
    [job] = leases.take(lanes(store), 5)
    return job


def is_due(job: Job) -> None:
    """As if a third of the lease had passed."""
    job.renew_at = time.monotonic()


def test_a_leased_row_comes_with_its_route_and_what_the_handler_sees(store: Store, clock: TurnableClock) -> None:
    job = take_one(store, Leases(store.inbox, TABLE, clock, SECONDS))
    assert job.route is ROUTE
    assert (job.running.number, job.running.lease_until) == (1, clock() + timedelta(seconds=SECONDS))


def test_a_renewal_moves_the_end_that_the_handler_sees(store: Store, clock: TurnableClock) -> None:
    leases = Leases(store.inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    clock.forward(seconds=20)
    is_due(job)
    leases.renew()
    assert job.running.lease_until == clock() + timedelta(seconds=SECONDS)
    clock.forward(seconds=20)
    assert lanes(store) == [], "40 seconds after it was leased the row is nobody else's"


def test_what_has_used_less_than_a_third_of_its_lease_is_left_alone(store: Store, clock: TurnableClock) -> None:
    inbox = FaultyInbox(store.inbox)
    leases = Leases(inbox, TABLE, clock, SECONDS)
    take_one(store, leases)
    inbox.refused = {"extend"}
    leases.renew()
    assert inbox.refusals == 0


def test_a_lost_lease_is_not_renewed_again(store: Store, clock: TurnableClock) -> None:
    leases = Leases(store.inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    clock.forward(seconds=SECONDS + 1)
    Leases(store.inbox, TABLE, clock, SECONDS).take(lanes(store), 1)
    is_due(job)
    leases.renew()
    assert job.renew_at > time.monotonic() + 1e6


def test_a_lease_is_sure_until_it_has_run_out_or_was_lost(store: Store, clock: TurnableClock) -> None:
    leases = Leases(store.inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    assert leases.is_sure(job)
    job.renew_at = time.monotonic() - SECONDS * 2 / 3  # as if this process had stood still for all of it
    assert not leases.is_sure(job)
    clock.forward(seconds=SECONDS + 1)
    Leases(store.inbox, TABLE, clock, SECONDS).take(lanes(store), 1)
    leases.renew()
    assert not leases.is_sure(job)


def test_a_renewal_that_failed_is_due_again(store: Store, clock: TurnableClock) -> None:
    inbox = FaultyInbox(store.inbox)
    leases = Leases(inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    is_due(job)
    inbox.refused = {"extend"}
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            leases.renew()
    inbox.refused = set()
    leases.renew()
    assert job.renew_at > time.monotonic()


def test_a_row_that_comes_up_while_it_still_runs_here_goes_on_under_its_new_lease(
    store: Store, clock: TurnableClock
) -> None:
    leases = Leases(store.inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    old = job.attempt
    clock.forward(seconds=SECONDS + 1)
    assert leases.take(lanes(store), 5) == []
    assert job.attempt.lease > old.lease
    assert not store.inbox.settle(old, Done()) and store.inbox.settle(job.attempt, Done())


def test_a_settled_row_that_was_leased_before_its_job_was_let_go_becomes_a_new_job(
    store: Store, clock: TurnableClock
) -> None:
    leases = Leases(store.inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    ended = job.attempt
    store.inbox.settle(ended, Retry(clock(), "again"))
    leases.take(lanes(store), 5)
    following = leases.release(job, ended)
    assert following is not None and following.running.number == 2
    assert leases.release(following, following.attempt) is None


def test_a_job_let_go_is_leased_like_any_other_row(store: Store, clock: TurnableClock) -> None:
    leases = Leases(store.inbox, TABLE, clock, SECONDS)
    job = take_one(store, leases)
    store.inbox.settle(job.attempt, Retry(clock(), "again"))
    assert leases.release(job, job.attempt) is None
    assert len(leases.take(lanes(store), 5)) == 1
