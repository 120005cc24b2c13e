"""Transactional routes: what a handler writes and the end of its notification are one, whatever goes wrong."""

from __future__ import annotations

import itertools
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from subscriber.dispatcher import Dispatcher, RetryPolicy, Settled
from subscriber.errors import SinkUnavailable
from subscriber.handlers import Dead, Done, Retry, Route
from subscriber.model import Attempt, Notification, State
from subscriber.routes import Answer, Handler, RunningAttempt
from subscriber.store import Store, open_store
from tests.dispatcher.stories import (
    DIALECTS,
    NOW,
    SCHEMES,
    Effects,
    FaultyInbox,
    TurnableClock,
    ask,
    flow,
    in_a_hurry,
    new_database,
    notification,
    row_of,
    running,
    scheme_of,
    until,
)

ROOT = Path(__file__).parent.parent.parent
POLICY = RetryPolicy(max_attempts=3, base_seconds=10, max_seconds=3600)
IMPATIENT = RetryPolicy(max_attempts=1000, base_seconds=0.002, max_seconds=0.02)


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture(params=SCHEMES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind in turn."""
    with new_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str, clock: TurnableClock) -> Iterator[Store]:
    """Its clock stands still."""
    with closing(open_store(url, clock=clock)) as store:
        yield store


@pytest.fixture
def effects(url: str) -> Effects:
    effects = Effects(url)
    effects.create()
    return effects


class Writer:
    """A transactional handler: writes an effect, then answers what it is told; an exception is raised."""

    def __init__(self, effects: Effects, *answers: Answer | Exception) -> None:
        self.effects = effects
        self.answers = list(answers)
        self.runs = 0

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        self.runs += 1
        self.effects.write(attempt.cursor, *effect(notification))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Sink:
    """Writes to the store while it sends, which no transaction of ours allows; raises what it is told."""

    name = "sink"

    def __init__(self, store: Store, *errors: Exception) -> None:
        self._store = store
        self._errors = list(errors)
        self.sent = 0

    def send(self, notification: Notification) -> Dead | None:
        self._store.registry.audit("sink", "sent", notification.id)
        if self._errors:
            raise self._errors.pop(0)
        self.sent += 1
        return None


def dispatcher(store: Store, clock: TurnableClock, *routes: Route, **options: Any) -> Dispatcher:
    defaults: dict[str, Any] = {"policy": POLICY, "threads": 4, "clock": clock, "jitter": lambda: 0.5}
    return Dispatcher(store.inbox, store.registry, routes, **defaults | options)


def in_transaction(handler: Handler, **options: Any) -> Route:
    return Route(handler=handler, transactional=True, **options)


def add(store: Store, *given: Notification) -> Notification:
    store.inbox.add(given)
    return given[0]


def effect(wanted: Notification) -> tuple[str, str]:
    return wanted.source, wanted.key.hex()


def test_the_effects_of_a_handler_that_is_done_stay(store: Store, clock: TurnableClock, effects: Effects) -> None:
    wanted = add(store, notification(source="pump"))
    assert dispatcher(store, clock, in_transaction(Writer(effects))).run_once() == {Settled.DONE: 1}
    assert effects.all() == [effect(wanted)]
    row = row_of(store, wanted)
    assert (row.state, row.sinks_done) == (State.DONE, {"handler"})


@pytest.mark.parametrize(
    ("answer", "settled", "reason"),
    [
        (Retry(None, "later"), Settled.RETRY, "later"),
        (Dead("spam"), Settled.DEAD, "spam"),
        (ValueError("no"), Settled.RETRY, "handler_error"),
        (SinkUnavailable("down"), Settled.HELD, "sink_unavailable"),
    ],
)
def test_of_any_other_answer_nothing_stays(
    store: Store, clock: TurnableClock, effects: Effects, answer: Any, settled: Settled, reason: str
) -> None:
    wanted = add(store, notification())
    work = dispatcher(store, clock, in_transaction(Writer(effects, answer)))
    assert work.run_once() == {settled: 1}
    assert effects.all() == []
    assert row_of(store, wanted).reason == reason
    assert row_of(store, wanted).sinks_done == set()


def test_a_retry_that_ends_well_leaves_its_effects_once(store: Store, clock: TurnableClock, effects: Effects) -> None:
    wanted, handler = add(store, notification()), Writer(effects, ValueError("no"), Retry(None, "later"))
    work = dispatcher(store, clock, in_transaction(handler))
    for _ in range(3):
        work.run_once()
        clock.forward(hours=1)
    assert (handler.runs, effects.all()) == (3, [effect(wanted)])


def test_a_broken_constraint_is_the_handlers_error(
    url: str, store: Store, clock: TurnableClock, effects: Effects
) -> None:
    wanted = add(store, notification())

    def twice(notification: Notification, attempt: RunningAttempt) -> None:
        for _ in range(2):
            effects.write(attempt.cursor, "pump", "the same")

    assert dispatcher(store, clock, in_transaction(twice)).run_once() == {Settled.RETRY: 1}
    row = row_of(store, wanted)
    assert (row.reason, row.attempts, effects.all()) == ("handler_error", 1, [])
    assert row.detail.startswith(DIALECTS[scheme_of(url)].taken)


def test_sinks_come_first_and_outside_the_transaction(store: Store, clock: TurnableClock, effects: Effects) -> None:
    sink, seen = Sink(store), []

    def handler(notification: Notification, attempt: RunningAttempt) -> None:
        seen.append(sink.sent)
        Writer(effects)(notification, attempt)

    add(store, notification())
    assert dispatcher(store, clock, in_transaction(handler), sinks=[sink]).run_once() == {Settled.DONE: 1}
    assert seen == [1]


@pytest.mark.parametrize(
    ("error", "settled"), [(ValueError("no"), Settled.RETRY), (SinkUnavailable("down"), Settled.HELD)]
)
def test_a_failing_sink_beside_it_doubles_no_effect(
    store: Store, clock: TurnableClock, effects: Effects, error: Exception, settled: Settled
) -> None:
    wanted, handler, sink = add(store, notification()), Writer(effects), Sink(store, error)
    work = dispatcher(store, clock, in_transaction(handler), sinks=[sink])
    assert work.run_once() == {settled: 1}
    assert row_of(store, wanted).sinks_done == {"handler"}, "remembered in the transaction of its effects"
    clock.forward(hours=1)
    assert work.run_once() == {Settled.DONE: 1}
    assert (handler.runs, sink.sent, effects.all()) == (1, 1, [effect(wanted)])


def test_a_sink_that_succeeded_is_not_repeated_when_the_handler_is(
    store: Store, clock: TurnableClock, effects: Effects
) -> None:
    wanted, sink = add(store, notification()), Sink(store)
    work = dispatcher(store, clock, in_transaction(Writer(effects, ValueError("no"))), sinks=[sink])
    assert work.run_once() == {Settled.RETRY: 1}
    clock.forward(hours=1)
    assert work.run_once() == {Settled.DONE: 1}
    assert (sink.sent, effects.all()) == (1, [effect(wanted)])


def test_a_lost_lease_is_counted_and_leaves_nothing(store: Store, clock: TurnableClock, effects: Effects) -> None:
    taken: list[Attempt] = []
    inbox, handler = FaultyInbox(store.inbox), Writer(effects)

    def somebody_else_comes(name: str) -> None:
        if name == "settling":
            clock.forward(minutes=10)
            taken.extend(store.inbox.lease(store.inbox.lanes(), 1, 30))

    inbox.before = somebody_else_comes
    wanted = add(store, notification())
    work = Dispatcher(inbox, store.registry, [in_transaction(handler)], policy=POLICY, threads=2, clock=clock)
    assert work.run_once() == {Settled.LOST: 1}
    assert (handler.runs, effects.all(), row_of(store, wanted).state) == (0, [], State.RUNNING)


def test_a_constraint_that_is_checked_at_the_end_costs_an_attempt(
    url: str, store: Store, clock: TurnableClock, effects: Effects
) -> None:
    ask(url, "CREATE TABLE pumps (id INTEGER PRIMARY KEY)")
    ask(url, "CREATE TABLE runs (pump INTEGER REFERENCES pumps (id) DEFERRABLE INITIALLY DEFERRED)")
    wanted = add(store, notification())

    def of_no_pump(notification: Notification, attempt: RunningAttempt) -> None:
        Writer(effects)(notification, attempt)
        attempt.cursor.execute("INSERT INTO runs VALUES (7)")

    assert dispatcher(store, clock, in_transaction(of_no_pump)).run_once() == {Settled.RETRY: 1}
    row = row_of(store, wanted)
    assert (row.reason, row.attempts, effects.all()) == ("constraint", 1, [])


def test_a_handler_that_takes_too_long_costs_an_attempt(
    url: str, store: Store, clock: TurnableClock, effects: Effects
) -> None:
    wanted = add(store, notification())

    def slow(notification: Notification, attempt: RunningAttempt) -> None:
        Writer(effects)(notification, attempt)
        time.sleep(seconds + 0.2)  # what it does wrong

    with in_a_hurry(url, store, clock) as (inbox, seconds):
        work = Dispatcher(inbox, store.registry, [in_transaction(slow)], policy=POLICY, threads=2, clock=clock)
        assert work.run_once() == {Settled.RETRY: 1}
    row = row_of(store, wanted)
    assert (row.reason, row.attempts, effects.all()) == ("out_of_time", 1, [])
    assert f"{seconds:g} s" in row.detail


def test_no_network_in_a_transaction_and_no_cursor_outside(
    store: Store, clock: TurnableClock, effects: Effects
) -> None:
    def reads(notification: Notification, attempt: RunningAttempt) -> None:
        attempt.platform.get("/api/assetmanagement/v3/assets")

    inside, outside = add(store, notification(topic="in")), add(store, notification(topic="out"))
    work = dispatcher(store, clock, in_transaction(reads, topic="in"), Route(handler=Writer(effects), topic="out"))
    assert work.run_once() == {Settled.RETRY: 2}
    assert row_of(store, inside).reason == "no_network_in_transaction"
    assert row_of(store, outside).reason == "no_cursor"


def lease(store: Store, topic: str) -> Attempt:
    """The only due row of the topic."""
    [attempt] = store.inbox.lease([lane for lane in store.inbox.lanes() if lane.topic == topic], 2, 30)
    return attempt


def test_what_ends_without_its_handler_opens_no_transaction(
    store: Store, clock: TurnableClock, effects: Effects
) -> None:
    add(store, notification(topic="unrouted"))
    add(store, notification(topic="latest", source="pump", occurred_at=NOW))
    store.inbox.settle(lease(store, "latest"), Done())
    add(store, notification(topic="latest", source="pump", occurred_at=NOW - timedelta(minutes=1)))
    add(store, notification(topic="handled"))
    store.inbox.settle(lease(store, "handled"), Retry(NOW, "a sink failed"), frozenset({"handler"}))
    add(store, notification(topic="exhausted"))
    for _ in range(POLICY.max_attempts):
        lease(store, "exhausted")
        clock.forward(minutes=1)
    inbox, calls, handler = FaultyInbox(store.inbox), Counter[str](), Writer(effects)
    inbox.before = lambda name: calls.update([name])
    routes = [in_transaction(handler, topic=topic) for topic in ("handled", "exhausted")]
    routes.append(in_transaction(handler, topic="latest", latest_only=True))
    work = Dispatcher(inbox, store.registry, routes, policy=POLICY, threads=4, clock=clock)
    assert flow(work) == {Settled.DEAD: 2, Settled.DONE: 2}
    assert (calls["settling"], handler.runs, effects.all()) == (0, 0, [])


# ---- many at once


def test_effects_equal_notifications_however_often_handlers_fail(url: str, effects: Effects) -> None:
    first, second, chance = open_store(url), open_store(url), random.Random(3)
    given = [notification(f"ten{number % 3}", source=f"s{number % 20}") for number in range(300)]
    first.inbox.add(given)

    def handler(notification: Notification, attempt: RunningAttempt) -> Answer:
        fate = chance.choices([None, Retry(None, "again"), ValueError("at random")], [70, 15, 15])[0]
        return Writer(effects, fate)(notification, attempt)

    work = [
        Dispatcher(store.inbox, store.registry, [in_transaction(handler)], policy=IMPATIENT, threads=4)
        for store in (first, second)
    ]
    with running(*work):
        until(lambda: first.reports.counts().done == 300, 60)
    assert Counter(effects.all()) == Counter(map(effect, given))
    second.close()
    first.close()


def test_effects_equal_notifications_in_order_however_often_processes_are_killed(url: str, effects: Effects) -> None:
    """Two processes at a time; whoever is killed is replaced."""
    store = open_store(url)
    given = [notification(source=f"s{number % 10}") for number in range(100)]
    store.inbox.add(given)
    killed = work_off_with_dying_workers(url, at_once=2)
    got = effects.all()
    assert Counter(got) == Counter(map(effect, given))
    for source in {each.source for each in given}:
        assert [name for its, name in got if its == source] == [
            each.key.hex() for each in given if each.source == source
        ]
    assert killed > 0 and store.reports.counts().done == 100
    store.close()


def work_off_with_dying_workers(url: str, at_once: int) -> int:
    """Returns how many of them were killed."""
    seeds, killed = itertools.count(1), 0
    workers = [start(url, next(seeds)) for _ in range(at_once)]
    give_up_at = time.monotonic() + 120
    try:
        while workers:
            assert time.monotonic() < give_up_at, "it never ended"
            for worker in [worker for worker in workers if worker.poll() is not None]:
                workers.remove(worker)
                assert worker.returncode in (0, -signal.SIGKILL), "only a kill or the end of the work ends a worker"
                if worker.returncode:
                    killed += 1
                    workers.append(start(url, next(seeds)))
            time.sleep(0.02)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return killed


def start(url: str, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.dispatcher.worker", url, str(seed)]
    return subprocess.Popen(command, cwd=ROOT)


# ---- README


def example() -> tuple[str, str]:
    """README's table and its code."""
    text = (ROOT / "README.md").read_text()
    marked = re.search(r"<!-- example: transactional -->(.*?)<!-- /example -->", text, re.DOTALL)
    assert marked, "README lost its example"
    [sql], [code] = (re.findall(rf"```{kind}\n(.*?)```", marked[1], re.DOTALL) for kind in ("sql", "python"))
    return sql, code


def test_the_example_of_readme_counts_each_change_once(url: str, store: Store, clock: TurnableClock) -> None:
    sql, code = example()
    ask(url, sql)
    team: dict[str, Any] = {}
    exec(code.replace("?", DIALECTS[scheme_of(url)].mark), team)
    given = [notification(source=source) for source in ("pump", "fan", "pump")]
    store.inbox.add(given)
    sink = Sink(store, *[ValueError("no")] * 2)
    work = dispatcher(store, clock, *team["routes"], sinks=[sink])
    for _ in range(2):
        flow(work)
        clock.forward(hours=1)
    assert sorted(ask(url, "SELECT * FROM changes")) == [("custaa", "fan", 1), ("custaa", "pump", 2)]
    assert store.reports.counts().done == 3
