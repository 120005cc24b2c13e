"""Ending an attempt: apart from its handler or together with what it wrote, while the store comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from subscriber.dispatcher.leases import Job, Leases
from subscriber.dispatcher.settling import TRANSACTION_RUNS, End, Ending, Settler, verdict_of
from subscriber.errors import LeaseLost, StoreBusy, StoreUnavailable
from subscriber.handlers import Dead, Done, Retry, Route, keep
from subscriber.model import Attempt, State
from subscriber.routes import HANDLER, RoutingTable
from subscriber.store import Settling, open_store
from tests.dispatcher.stories import (
    DIALECTS,
    SCHEMES,
    Effects,
    FaultyInbox,
    TurnableClock,
    in_a_hurry,
    new_database,
    notification,
    row_of,
    scheme_of,
)

TABLE = RoutingTable([Route(handler=keep, transactional=True)])
SECONDS = 30.0
BRIEF = -0.4  # jitter that makes each wait a tenth of what it would be


class FailingCommit(FaultyInbox):
    """A real inbox whose transactions cannot be committed a few times: everything in them is rolled back."""

    failures = 0

    @contextmanager
    def settling(self, attempt: Attempt) -> Iterator[Settling]:
        with self._inbox.settling(attempt) as settling:
            yield settling
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("the server went away")


class Bench:
    """One leased row, a table of the team, and what settles."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = TurnableClock()
        self.store = open_store(url, clock=self.clock)
        self.effects = Effects(url)
        self.effects.create()
        self.inbox = FailingCommit(self.store.inbox)
        self.leases = Leases(self.inbox, TABLE, self.clock, SECONDS)
        self.settler = Settler(self.inbox, lambda: BRIEF)
        self.wanted = notification()
        self.store.inbox.add([self.wanted])
        [self.job] = self.take()
        self.runs = 0

    def take(self) -> list[Job]:
        return self.leases.take(self.store.inbox.lanes(), 5)

    def write(self) -> None:
        self.runs += 1
        self.effects.write(self.job.running.cursor, "pump", "one")

    def run(self, *more: Callable[[], object]) -> Any:
        """Run a handler that writes and then does ``more``, whose last answer is its own."""

        def handler() -> object:
            answers = [each() for each in (self.write, *more)]
            return answers[-1]

        return self.settler.run_and_settle(self.job, handler, conclude)


def conclude(done: Done) -> Ending:
    return done, frozenset({HANDLER})


@pytest.fixture(params=SCHEMES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """On a store of each kind in turn."""
    with new_database(request.param, tmp_path) as url:
        bench = Bench(url)
        with closing(bench.store):
            yield bench


def test_what_a_handler_wrote_and_the_end_of_its_attempt_are_one(bench: Bench) -> None:
    end = bench.run()
    assert end == End(bench.job.attempt, "", Done())
    assert bench.effects.all() == [("pump", "one")]
    row = row_of(bench.store, bench.wanted)
    assert (row.state, row.sinks_done) == (State.DONE, {HANDLER})


@pytest.mark.parametrize("answer", [Retry(None, "later"), Dead("spam")])
def test_of_a_handler_that_is_not_done_nothing_stays_and_its_verdict_is_told(bench: Bench, answer: object) -> None:
    assert bench.run(lambda: answer) == answer
    assert bench.effects.all() == []
    assert row_of(bench.store, bench.wanted).state is State.RUNNING, "it is still to be settled"


def test_an_error_in_the_handlers_own_statement_is_the_handlers(bench: Bench) -> None:
    verdict = bench.run(bench.write)
    assert isinstance(verdict, Retry)
    assert verdict.reason == "handler_error"
    assert verdict.detail.startswith(DIALECTS[scheme_of(bench.url)].taken)
    assert (bench.runs, bench.effects.all()) == (2, [])


def test_a_commit_that_failed_runs_the_handler_again_as_if_it_never_had(bench: Bench) -> None:
    bench.inbox.failures = 2
    assert bench.run() == End(bench.job.attempt, "", Done())
    assert (bench.runs, bench.effects.all()) == (3, [("pump", "one")])


def test_a_transaction_that_never_commits_ends_as_an_attempts_error(bench: Bench) -> None:
    bench.inbox.failures = 99
    verdict = bench.run()
    assert isinstance(verdict, Retry)
    assert (verdict.at, verdict.reason) == (None, "store_unavailable")
    assert (bench.runs, bench.effects.all()) == (TRANSACTION_RUNS, [])


def test_a_store_that_cannot_begin_is_asked_until_it_can_and_the_handler_runs_once(bench: Bench) -> None:
    class Busy(FailingCommit):
        busy = 2 * TRANSACTION_RUNS

        @contextmanager
        def settling(self, attempt: Attempt) -> Iterator[Settling]:
            if self.busy:
                self.busy -= 1
                raise StoreBusy("the write waited 5 s for its turn")
            with super().settling(attempt) as settling:
                yield settling

    bench.settler = Settler(Busy(bench.store.inbox), lambda: -0.49)
    assert bench.run() == End(bench.job.attempt, "", Done())
    assert bench.runs == 1


@pytest.mark.parametrize("where", ["begin", "commit"])
def test_insisting_on_a_transaction_ends_when_the_process_closes(bench: Bench, where: str) -> None:
    if where == "begin":
        inbox = FaultyInbox(bench.store.inbox)
        inbox.refused = {"settling"}
        bench.settler = Settler(inbox, lambda: BRIEF)
    bench.inbox.failures = 99
    bench.settler.closing.set()
    assert bench.run() is None
    assert bench.runs == (where == "commit")
    assert bench.effects.all() == []


def test_a_lost_lease_leaves_nothing_of_the_handler(bench: Bench) -> None:
    bench.clock.forward(seconds=SECONDS + 1)
    [taken] = bench.store.inbox.lease(bench.store.inbox.lanes(), 1, SECONDS)
    assert bench.run() == End(bench.job.attempt, LeaseLost.reason, None)
    assert (bench.runs, bench.effects.all()) == (0, [])
    assert bench.store.inbox.settle(taken, Done()), "it belongs to the other"


def test_a_new_lease_of_the_row_that_was_adopted_meanwhile_is_used(bench: Bench) -> None:
    old = bench.job.attempt
    bench.clock.forward(seconds=SECONDS + 1)

    class AdoptedLate(FailingCommit):
        @contextmanager
        def settling(self, attempt: Attempt) -> Iterator[Settling]:
            if attempt is old:
                assert bench.take() == [], "the dispatcher recognises its own row"
            with super().settling(attempt) as settling:
                yield settling

    bench.settler = Settler(AdoptedLate(bench.store.inbox), lambda: BRIEF)
    end = bench.run()
    assert isinstance(end, End) and end.attempt is bench.job.attempt is not old
    assert (bench.runs, bench.effects.all()) == (1, [("pump", "one")])


@pytest.mark.parametrize("then", ["is done", "writes"])
def test_a_handler_that_takes_too_long_is_undone_and_told_the_limit(bench: Bench, then: str) -> None:
    def hang() -> None:
        never.wait(seconds + 0.2)  # what it does wrong

    never = threading.Event()
    with in_a_hurry(bench.url, bench.store, bench.clock) as (inbox, seconds):
        bench.settler = Settler(inbox, lambda: BRIEF)
        verdict = bench.run(hang, *[bench.write] * (then == "writes"))
    assert isinstance(verdict, Retry)
    assert (verdict.at, verdict.reason) == (None, "out_of_time")
    assert f"{seconds:g} s" in verdict.detail
    assert bench.effects.all() == []


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)])
def test_whatever_comes_out_of_a_part_is_a_verdict(error: BaseException) -> None:
    def part() -> None:
        raise error

    assert isinstance(verdict_of(part), Retry)
