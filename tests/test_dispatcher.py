"""From a stored notification to a settled one: real store, real threads, real receivers."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from subscriber.dispatcher import Dispatcher, RetryPolicy, Settled
from subscriber.errors import SinkUnavailable
from subscriber.handlers import Dead, Done, Retry, Route, keep
from subscriber.model import Attempt, Notification, State
from subscriber.routes import Answer, Handler, RunningAttempt, Sink
from subscriber.sinks import forward
from subscriber.store import RowFilter, Store, open_store
from tests.dispatcher.stories import (
    NOW,
    SCHEMES,
    TOPIC,
    FaultyInbox,
    TurnableClock,
    flow,
    new_database,
    notification,
    open_new_store,
    row_of,
    rows_of,
    running,
    until,
)
from tests.small_receiver import SmallReceiver

POLICY = RetryPolicy(max_attempts=3, base_seconds=10, max_seconds=3600)
HALF = 0.5  # jitter: every wait is half of the longest


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def store(tmp_path: Path, clock: TurnableClock) -> Iterator[Store]:
    """Its clock stands still."""
    store = open_new_store(tmp_path, clock)
    yield store
    store.close()


@pytest.fixture
def live_store(tmp_path: Path) -> Iterator[Store]:
    """Its clock is the real one, for what runs on threads."""
    store = open_new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture(params=SCHEMES)
def each_store(request: pytest.FixtureRequest, tmp_path: Path, clock: TurnableClock) -> Iterator[Store]:
    """One of each kind in turn; its clock stands still."""
    with new_database(request.param, tmp_path) as url, closing(open_store(url, clock=clock)) as store:
        yield store


@pytest.fixture
def receiver() -> Iterator[SmallReceiver]:
    with SmallReceiver() as receiver:
        yield receiver


class Recorder:
    """A handler and a sink that remembers what it got and answers what it is told; an exception is raised."""

    def __init__(self, *answers: Answer | Exception, name: str = "recorder") -> None:
        self.name = name
        self.answers = list(answers)
        self.seen: list[Notification] = []
        self.attempts: list[int] = []

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        self.attempts.append(attempt.number)
        return self._answer(notification)

    def send(self, notification: Notification) -> Dead | None:
        answer = self._answer(notification)
        assert answer is None or isinstance(answer, Dead)
        return answer

    def _answer(self, notification: Notification) -> Answer:
        self.seen.append(notification)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def dispatcher(store: Store, clock: TurnableClock, *routes: Route, **options: Any) -> Dispatcher:
    defaults: dict[str, Any] = {"policy": POLICY, "threads": 4, "clock": clock, "jitter": lambda: HALF}
    return Dispatcher(store.inbox, store.registry, routes, **defaults | options)


def handled_by(handler: Handler, **options: Any) -> Route:
    return Route(handler=handler, **options)


def add(store: Store, *notifications: Notification) -> Notification:
    store.inbox.add(notifications)
    return notifications[0]


# ---- one notification


def test_a_notification_is_handled_once_and_done(store: Store, clock: TurnableClock) -> None:
    wanted, handler = add(store, notification()), Recorder()
    work = dispatcher(store, clock, handled_by(handler))
    assert work.run_once() == {Settled.DONE: 1}
    assert work.run_once() == {}
    assert handler.seen == [wanted]
    assert row_of(store, wanted).state is State.DONE


def test_a_notification_without_a_route_is_dead_and_says_what_it_was(store: Store, clock: TurnableClock) -> None:
    wanted = add(store, notification(action="DELETE"))
    assert dispatcher(store, clock, handled_by(keep, action="CREATE")).run_once() == {Settled.DEAD: 1}
    row = row_of(store, wanted)
    assert (row.state, row.reason) == (State.DEAD, "unrouted")
    assert TOPIC in row.detail and "DELETE" in row.detail


@pytest.mark.parametrize(
    ("answer", "state", "reason", "detail"),
    [
        (Done(), State.DONE, "", ""),
        (Done("ignored"), State.DONE, "ignored", ""),
        (Dead("spam", "not for us"), State.DEAD, "spam", "not for us"),
        (Retry(None, "busy", "later"), State.PENDING, "busy", "later"),
        (KeyError("a"), State.PENDING, "handler_error", "KeyError: 'a'"),
        (42, State.PENDING, "handler_error", "returned int: not None, Done, Retry or Dead"),
        (
            Retry(datetime(2030, 1, 1)),
            State.PENDING,
            "handler_error",
            "Retry.at must be a datetime with a time zone, or None",
        ),
    ],
)
def test_the_row_shows_what_the_handler_said(
    store: Store, clock: TurnableClock, answer: Any, state: State, reason: str, detail: str
) -> None:
    wanted = add(store, notification())
    dispatcher(store, clock, handled_by(Recorder(answer))).run_once()
    row = row_of(store, wanted)
    assert (row.state, row.reason, row.detail) == (state, reason, detail)


def test_a_failing_handler_is_tried_again_later_and_later_until_its_attempts_run_out(
    store: Store, clock: TurnableClock
) -> None:
    handler = Recorder(*[ValueError("no")] * 5)
    wanted, work = add(store, notification()), dispatcher(store, clock, handled_by(handler))
    for wait_seconds in (5, 10):
        assert work.run_once() == {Settled.RETRY: 1}
        assert row_of(store, wanted).not_before == clock() + timedelta(seconds=wait_seconds)
        clock.forward(seconds=wait_seconds - 1)
        assert work.run_once() == {}
        clock.forward(seconds=1)
    assert work.run_once() == {Settled.DEAD: 1}
    row = row_of(store, wanted)
    assert (row.reason, row.detail) == ("attempts", "handler_error: ValueError: no")
    assert handler.attempts == [1, 2, 3]


def test_a_route_may_have_its_own_number_of_attempts(store: Store, clock: TurnableClock) -> None:
    add(store, notification())
    route = handled_by(Recorder(ValueError("no")), max_attempts=1)
    assert dispatcher(store, clock, route).run_once() == {Settled.DEAD: 1}


def test_a_handler_may_say_when_it_wants_to_run_again(store: Store, clock: TurnableClock) -> None:
    tomorrow = NOW + timedelta(days=1)
    wanted = add(store, notification())
    dispatcher(store, clock, handled_by(Recorder(Retry(tomorrow, "closed")))).run_once()
    assert row_of(store, wanted).not_before == tomorrow


def test_a_dead_notification_that_is_replayed_gets_fresh_attempts(store: Store, clock: TurnableClock) -> None:
    handler = Recorder(Dead("spam"))
    wanted, work = add(store, notification()), dispatcher(store, clock, handled_by(handler))
    work.run_once()
    store.inbox.replay(wanted.tenant, [wanted.key])
    assert work.run_once() == {Settled.DONE: 1}
    assert handler.attempts == [1, 1]


def test_a_done_notification_that_is_replayed_is_handled_again(store: Store, clock: TurnableClock) -> None:
    handler, sink = Recorder(), Recorder()
    wanted = add(store, notification())
    work = dispatcher(store, clock, handled_by(handler), sinks=[sink])
    for _ in range(2):
        assert work.run_once() == {Settled.DONE: 1}
        store.inbox.replay(wanted.tenant, [wanted.key])
    assert (len(handler.seen), len(sink.seen)) == (2, 2)


def test_a_notification_that_ends_its_process_every_time_is_dead_in_the_end(
    store: Store, clock: TurnableClock
) -> None:
    wanted, handler = add(store, notification()), Recorder()
    for _ in range(POLICY.max_attempts):
        store.inbox.lease(store.inbox.lanes(), 1, 30)
        clock.forward(seconds=31)
    assert dispatcher(store, clock, handled_by(handler)).run_once() == {Settled.DEAD: 1}
    assert row_of(store, wanted).reason == "attempts" and handler.seen == []


def test_a_handler_cannot_end_the_process(store: Store, clock: TurnableClock) -> None:
    def exiting(notification: Notification, attempt: RunningAttempt) -> None:
        raise SystemExit(1)

    add(store, notification())
    assert dispatcher(store, clock, handled_by(exiting)).run_once() == {Settled.RETRY: 1}


# ---- newest only


def test_where_only_the_newest_counts_an_older_one_is_superseded(store: Store, clock: TurnableClock) -> None:
    handler, sink = Recorder(), Recorder()
    old = notification(source="pump", occurred_at=NOW - timedelta(minutes=2))
    new = notification(source="pump", occurred_at=NOW - timedelta(minutes=1))
    add(store, new, old)
    flow(dispatcher(store, clock, handled_by(handler, latest_only=True), sinks=[sink]))
    assert handler.seen == sink.seen == [new]
    assert (row_of(store, old).state, row_of(store, old).reason) == (State.DONE, "superseded")


def test_without_a_source_or_a_time_nothing_is_superseded(store: Store, clock: TurnableClock) -> None:
    add(store, notification(occurred_at=NOW), notification(occurred_at=NOW - timedelta(minutes=1)))
    add(store, notification(source="pump"), notification(source="pump", occurred_at=NOW))
    handler, inbox = Recorder(), FaultyInbox(store.inbox)
    inbox.before = lambda name: asked.append(name)
    asked: list[str] = []
    routes = [handled_by(handler, latest_only=True)]
    flow(Dispatcher(inbox, store.registry, routes, policy=POLICY, threads=4, clock=clock))
    assert len(handler.seen) == 4
    assert asked.count("superseded") == 1, "only for the one that has both"


def test_elsewhere_older_ones_are_handled_as_well(store: Store, clock: TurnableClock) -> None:
    add(
        store,
        notification(source="p", occurred_at=NOW),
        notification(source="p", occurred_at=NOW - timedelta(hours=1)),
    )
    assert flow(dispatcher(store, clock, handled_by(keep))) == {Settled.DONE: 2}


# ---- sinks beside handlers


def test_every_sink_gets_every_routed_notification_beside_its_handler(store: Store, clock: TurnableClock) -> None:
    handler, one, two = Recorder(), Recorder(name="one"), Recorder(name="two")
    routed, unrouted = add(store, notification()), add(store, notification(topic="other"))
    flow(dispatcher(store, clock, handled_by(handler, topic=TOPIC), sinks=[one, two]))
    assert handler.seen == one.seen == two.seen == [routed]
    assert row_of(store, unrouted).reason == "unrouted"


@pytest.mark.parametrize("failing", ["handler", "one", "two"])
def test_a_retry_repeats_only_what_has_not_succeeded(store: Store, clock: TurnableClock, failing: str) -> None:
    parts = {name: Recorder(name=name) for name in ("handler", "one", "two")}
    parts[failing].answers = [ValueError("no")]
    wanted = add(store, notification())
    work = dispatcher(store, clock, handled_by(parts["handler"]), sinks=[parts["one"], parts["two"]])
    assert work.run_once() == {Settled.RETRY: 1}
    assert row_of(store, wanted).sinks_done == parts.keys() - {failing}
    clock.forward(hours=1)
    assert work.run_once() == {Settled.DONE: 1}
    assert {name: len(part.seen) for name, part in parts.items()} == {"handler": 1, "one": 1, "two": 1} | {failing: 2}


def test_a_sink_may_say_that_a_notification_can_never_be_handed_over(store: Store, clock: TurnableClock) -> None:
    wanted = add(store, notification())
    work = dispatcher(store, clock, handled_by(keep), sinks=[Recorder(Dead("pruned"))])
    assert work.run_once() == {Settled.DEAD: 1}
    assert row_of(store, wanted).sinks_done == {"handler"}


@pytest.mark.parametrize("names", [["handler"], ["a", "a"]])
def test_sinks_need_names_of_their_own(store: Store, clock: TurnableClock, names: list[str]) -> None:
    sinks: list[Sink] = [Recorder(name=name) for name in names]
    with pytest.raises(ValueError, match="names of their own"):
        dispatcher(store, clock, handled_by(keep), sinks=sinks)


# ---- a receiver that is away


def test_a_receiver_that_is_away_costs_no_attempt_and_holds_its_route(
    store: Store, clock: TurnableClock, receiver: SmallReceiver
) -> None:
    receiver.status = 503
    add(store, *(notification() for _ in range(50)))
    handler = Recorder()
    work = dispatcher(store, clock, handled_by(handler), sinks=[forward(receiver.url)])
    first = work.run_once()
    assert first[Settled.HELD] == sum(first.values()) <= 8, "what was leased is put back"
    assert len(receiver.requests) == len(handler.seen) == 1, "and only one of it has tried"
    for _ in range(20):
        assert work.run_once() == {}, "nothing of a held route is leased, however much waits"
    assert {row.attempts for row in rows_of(store)} == {0}


def test_an_hours_outage_sees_one_probe_a_minute_and_fills_no_dead_letters(
    store: Store, clock: TurnableClock, receiver: SmallReceiver
) -> None:
    receiver.status = 503
    add(store, *(notification(tenant) for tenant in ("custaa", "custbb", "custcc") for _ in range(10)))
    work = dispatcher(store, clock, handled_by(keep), sinks=[forward(receiver.url)])
    work.run_once()
    for second in range(10, 3601, 10):
        clock.forward(seconds=10)
        assert work.run_once() == ({Settled.HELD: 1} if second % 60 == 0 else {})
    assert len(receiver.requests) == 1 + 60
    receiver.status = 200
    clock.forward(seconds=60)
    assert flow(work) == {Settled.DONE: 30}, "the first good probe lets everything flow, without another minute"
    counts = store.reports.counts()
    assert (counts.done, counts.dead, counts.dead_letters) == (30, 0, 0)
    assert len({request.body for request in receiver.requests[61:]}) == 30


def test_a_handler_that_succeeded_while_a_sink_was_away_does_not_run_again(
    store: Store, clock: TurnableClock, receiver: SmallReceiver
) -> None:
    receiver.status = 500
    add(store, *(notification() for _ in range(5)))
    handler = Recorder()
    work = dispatcher(store, clock, handled_by(handler), sinks=[forward(receiver.url)])
    for _ in range(10):
        work.run_once()
        clock.forward(minutes=1)
    receiver.status = 200
    flow(work)
    assert Counter(seen.key for seen in handler.seen).most_common(1)[0][1] == 1
    assert len(handler.seen) == 5


def test_a_receiver_that_is_down_and_comes_back_on_its_port_gets_everything_once(
    store: Store, clock: TurnableClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    add(store, *(notification() for _ in range(20)))
    work = dispatcher(store, clock, handled_by(forward(f"http://127.0.0.1:{port}/hook")))
    assert flow(work).keys() == {Settled.HELD}
    with SmallReceiver(port) as receiver:
        clock.forward(minutes=1)
        assert flow(work) == {Settled.DONE: 20}
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 20


def test_a_handler_that_forwards_holds_its_own_route_only(
    store: Store, clock: TurnableClock, receiver: SmallReceiver
) -> None:
    receiver.status = 429
    add(store, *(notification(topic=topic) for topic in ("away", "here") for _ in range(10)))
    work = dispatcher(store, clock, handled_by(forward(receiver.url), topic="away"), handled_by(keep, topic="here"))
    assert flow(work)[Settled.DONE] == 10
    assert {row.state for row in rows_of(store, RowFilter(topic="away"))} == {State.PENDING}


def test_in_a_lane_that_routes_share_the_held_ones_step_aside_for_the_others(
    store: Store, clock: TurnableClock
) -> None:
    away = Recorder(*[SinkUnavailable("down")] * 100)
    add(store, *(notification(action=action) for _ in range(20) for action in ("AWAY", "HERE")))
    work = dispatcher(store, clock, handled_by(away, action="AWAY"), handled_by(keep))
    assert flow(work)[Settled.DONE] == 20
    assert len(away.seen) == 1
    clock.forward(minutes=1)
    flow(work)
    assert len(away.seen) == 2, "one probe, although all of them came up again"
    away.answers = []
    clock.forward(minutes=1)
    flow(work)
    clock.forward(minutes=1)
    flow(work)
    assert store.reports.counts().done == 40


def test_a_refusal_that_is_about_the_notification_costs_an_attempt(
    store: Store, clock: TurnableClock, receiver: SmallReceiver
) -> None:
    receiver.status = 400
    wanted = add(store, notification())
    work = dispatcher(store, clock, handled_by(forward(receiver.url)))
    assert work.run_once() == {Settled.RETRY: 1}
    assert row_of(store, wanted).reason == "refused_by_receiver"
    for _ in range(2):
        clock.forward(hours=1)
        work.run_once()
    assert (row_of(store, wanted).state, row_of(store, wanted).reason) == (State.DEAD, "attempts")


# ---- pauses


@pytest.mark.parametrize(
    ("kind", "name"), [("tenant", "mindsphere/custaa"), ("platform", "mindsphere"), ("topic", TOPIC)]
)
def test_a_pause_stops_handling_until_it_is_resumed(store: Store, clock: TurnableClock, kind: str, name: str) -> None:
    add(store, notification("custaa"))
    other = add(store, notification("custbb", "other", platform="pelion"))
    handler = Recorder()
    work = dispatcher(store, clock, handled_by(handler))
    store.registry.pause(kind, name)
    flow(work)
    assert handler.seen == [other]
    store.registry.resume(kind, name)
    assert flow(work) == {Settled.DONE: 1}


# ---- fairness


@pytest.mark.parametrize("others", [0, 20])
@pytest.mark.parametrize("ordered", [False, True])
def test_beside_a_noisy_tenant_at_100_times_the_load_a_quiet_one_waits_at_most_one_turn_of_the_active_tenants(
    each_store: Store, clock: TurnableClock, others: int, ordered: bool
) -> None:
    """From its arrival to its handling, nobody else is handled twice."""
    active = [f"active{number:02}" for number in range(others)]
    each_store.inbox.add([notification(tenant, source="s") for tenant in active for _ in range(20)])
    handler = Recorder()
    work = dispatcher(each_store, clock, handled_by(handler, ordered=ordered))
    for number in range(8):
        noise = [notification("noisy", f"t{n % 3}", source=f"s{n % 50}") for n in range(100)]
        quiet = notification("quiet", source="s")
        add(each_store, *noise, quiet)
        before = len(handler.seen)
        while quiet not in handler.seen:
            assert work.run_once(), f"the {number}th was never its turn"
        waited_for = Counter(seen.tenant for seen in handler.seen[before : handler.seen.index(quiet)])
        assert max(waited_for.values(), default=0) <= 1


def test_many_tenants_get_equal_shares(each_store: Store, clock: TurnableClock) -> None:
    add(each_store, *(notification(f"ten{number:02}") for number in range(20) for _ in range(20)))
    handler = Recorder()
    work = dispatcher(each_store, clock, handled_by(handler))
    for _ in range(10):
        work.run_once()
    shares = Counter(seen.tenant for seen in handler.seen)
    assert len(shares) == 20 and max(shares.values()) - min(shares.values()) <= 1


# ---- built-in routes


def test_no_table_replaces_or_shadows_a_built_in_route(store: Store, clock: TurnableClock) -> None:
    built_in, team = Recorder(), Recorder()
    provisioned, other = add(store, notification(topic="provisioning")), add(store, notification(topic="other"))
    work = dispatcher(store, clock, handled_by(team), built_in=[handled_by(built_in, topic="provisioning")])
    flow(work)
    assert (built_in.seen, team.seen) == ([provisioned], [other])


# ---- leases, threads, stop


class Gate:
    """A handler that stops everybody until the test lets them go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.attempts: list[RunningAttempt] = []
        self.left = 0

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> None:
        self.attempts.append(attempt)
        self.entered.release()
        self.open.wait(10)
        self.left += 1

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=5)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def live(store: Store, *routes: Route, **options: Any) -> Dispatcher:
    defaults: dict[str, Any] = {"policy": POLICY, "threads": 4}
    return Dispatcher(store.inbox, store.registry, routes, **defaults | options)


def test_run_handles_what_comes_until_it_is_stopped(live_store: Store) -> None:
    add(live_store, *(notification(f"ten{number % 3}") for number in range(200)))
    with running(live(live_store, handled_by(keep))):
        until(lambda: live_store.reports.counts().done == 200)
        add(live_store, notification())
        until(lambda: live_store.reports.counts().done == 201)


def test_a_slow_route_occupies_half_of_the_threads_and_others_go_on(live_store: Store, gate: Gate) -> None:
    add(live_store, *(notification(topic="slow") for _ in range(20)))
    with running(live(live_store, handled_by(gate, topic="slow"), handled_by(keep))):
        gate.wait_for(2)
        add(live_store, *(notification(topic="quick") for _ in range(50)))
        until(lambda: live_store.reports.counts().done == 50)
        assert len(gate.attempts) == 2
        gate.open.set()
        until(lambda: live_store.reports.counts().done == 70)


def test_no_more_of_a_slow_route_is_leased_than_it_can_soon_run(live_store: Store, gate: Gate) -> None:
    add(live_store, *(notification(topic="slow") for _ in range(100)))
    with running(live(live_store, handled_by(gate, topic="slow"), handled_by(keep))):
        gate.wait_for(2)
        for done in range(1, 6):
            add(live_store, notification(topic="quick"))
            until(lambda: live_store.reports.counts().done >= done)  # noqa: B023 - called within its turn of the loop
        assert live_store.reports.counts().running <= 8, "two for each thread"
        gate.open.set()


def test_built_in_routes_run_while_every_other_thread_is_busy(live_store: Store, gate: Gate) -> None:
    built_in = Recorder()
    add(live_store, *(notification(topic=topic) for topic in ("a", "b") for _ in range(20)))
    routes = [handled_by(gate, topic="a"), handled_by(gate, topic="b")]
    with running(live(live_store, *routes, built_in=[handled_by(built_in, topic="provisioning")])):
        gate.wait_for(4)
        add(live_store, notification(topic="provisioning"))
        until(lambda: len(built_in.seen) == 1)
        assert len(gate.attempts) == 4
        gate.open.set()


def test_a_lease_is_extended_while_its_handler_runs(live_store: Store, gate: Gate) -> None:
    add(live_store, notification())
    with running(live(live_store, handled_by(gate), lease_seconds=1.5)):
        gate.wait_for(1)
        [attempt] = gate.attempts
        first = attempt.lease_until
        until(lambda: attempt.lease_until >= first + timedelta(seconds=1.5))
        assert live_store.inbox.lanes() == [], "a whole lease later nobody else may have it"
        gate.open.set()
        until(lambda: live_store.reports.counts().done == 1)
    assert [row.attempts for row in rows_of(live_store)] == [1], "it was one lease all the time"


class Outcomes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_settled(self, platform: str, outcome: str) -> None:
        self.seen.append((platform, outcome))


def test_a_lost_lease_cannot_settle_and_is_counted(store: Store, clock: TurnableClock) -> None:
    taken: list[Attempt] = []

    def slow(notification: Notification, attempt: RunningAttempt) -> None:
        clock.forward(minutes=10)
        taken.extend(store.inbox.lease(store.inbox.lanes(), 1, 30))

    wanted, observer = add(store, notification()), Outcomes()
    assert dispatcher(store, clock, handled_by(slow), observer=observer).run_once() == {Settled.LOST: 1}
    assert observer.seen == [("mindsphere", "lost")]
    assert row_of(store, wanted).state is State.RUNNING
    assert store.inbox.settle(taken[0], Done()), "it belongs to the other"


def test_on_stop_what_runs_finishes_and_what_waits_is_given_back_without_costing_an_attempt(
    live_store: Store, gate: Gate
) -> None:
    add(live_store, *(notification() for _ in range(10)))
    with running(live(live_store, handled_by(gate))) as end:
        gate.wait_for(2)
        until(lambda: live_store.reports.counts().running > 2)
        threading.Timer(0.3, gate.open.set).start()
        end()
    counts = live_store.reports.counts()
    assert (counts.running, counts.done, counts.pending) == (0, gate.left, 10 - gate.left)
    waiting = [row for row in rows_of(live_store) if row.state is State.PENDING]
    assert {row.attempts for row in waiting} == {0}


def test_a_handler_that_does_not_end_in_the_drain_time_is_left_to_its_lease(
    live_store: Store, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    add(live_store, notification())
    with running(live(live_store, handled_by(gate), drain_seconds=0.2)) as end:
        gate.wait_for(1)
        end()
    assert live_store.reports.counts().running == 1
    assert "drain_incomplete" in actions(caplog.records)


def crew_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("handler-")]


def test_it_can_run_again_after_a_stop(live_store: Store) -> None:
    inbox = FaultyInbox(live_store.inbox)
    work = Dispatcher(inbox, live_store.registry, [handled_by(keep)], policy=POLICY, threads=2)
    for faults in (0, 1):
        add(live_store, notification())
        inbox.refused = {"settle"} if faults else set()
        inbox.before = lambda name: inbox.refused.clear() if inbox.refusals else None
        with running(work):
            until(lambda: live_store.reports.counts().pending == live_store.reports.counts().running == 0)
    assert live_store.reports.counts().done == 2


# ---- a store that is away


def test_an_outage_of_the_store_is_waited_out(live_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    inbox = FaultyInbox(live_store.inbox)
    inbox.refused = {"lanes"}
    add(live_store, notification())
    work = Dispatcher(inbox, live_store.registry, [handled_by(keep)], policy=POLICY, threads=2, jitter=lambda: -0.45)
    with running(work):
        until(lambda: inbox.refusals >= 3)
        inbox.refused = set()
        until(lambda: live_store.reports.counts().done == 1)
    assert "turn_failed" in actions(caplog.records)


def test_what_a_handler_did_is_not_forgotten_because_the_store_is_away(live_store: Store) -> None:
    inbox, attempts = FaultyInbox(live_store.inbox), []
    inbox.refused = {"settle", "extend"}

    def handler(notification: Notification, attempt: RunningAttempt) -> None:
        attempts.append(attempt)

    add(live_store, notification())
    work = Dispatcher(inbox, live_store.registry, [handled_by(handler)], policy=POLICY, threads=2, lease_seconds=0.2)
    with running(work):
        until(lambda: inbox.refusals >= 5 and datetime.now(UTC) > attempts[0].lease_until)
        inbox.refused = set()
        until(lambda: live_store.reports.counts().done == 1)
    assert len(attempts) == 1, "neither the outage nor the end of the lease made it run twice"


def test_a_stop_while_the_store_is_away_is_not_waited_for_longer_than_the_drain_time(live_store: Store) -> None:
    inbox = FaultyInbox(live_store.inbox)
    inbox.refused = {"settle"}
    add(live_store, *(notification() for _ in range(5)))
    work = Dispatcher(inbox, live_store.registry, [handled_by(keep)], policy=POLICY, threads=2, drain_seconds=0.2)
    with running(work) as end:
        until(lambda: inbox.refusals >= 1)
        began = time.monotonic()
        end()
        assert time.monotonic() - began < 5
        until(lambda: not crew_threads())


# ---- logs and counts


def actions(records: Sequence[logging.LogRecord]) -> list[str]:
    return [record.__dict__["action"] for record in records if "action" in record.__dict__]


def test_every_outcome_leaves_one_line_that_names_the_attempt_and_no_content(
    store: Store, clock: TurnableClock, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = add(store, notification(body=b'{"secret": "tops3cret"}'))
    handler = Recorder(ValueError("tops3cret"), Done())
    work = dispatcher(store, clock, handled_by(handler))
    with caplog.at_level(logging.INFO, "subscriber.dispatcher"):
        work.run_once()
        clock.forward(hours=1)
        work.run_once()
    assert actions(caplog.records) == ["notification_retry", "notification_done"]
    first = caplog.records[0].__dict__
    told = {name: first[name] for name in ("platform", "tenant", "key", "attempt", "reason")}
    assert told == {
        "platform": "mindsphere",
        "tenant": "custaa",
        "key": wanted.key.hex(),
        "attempt": 1,
        "reason": "handler_error",
    }
    assert "tops3cret" not in "".join(str(record.__dict__) for record in caplog.records)


def test_a_hold_and_its_end_are_told(store: Store, clock: TurnableClock, caplog: pytest.LogCaptureFixture) -> None:
    add(store, *(notification() for _ in range(5)))
    work = dispatcher(store, clock, handled_by(Recorder(SinkUnavailable("down"))))
    with caplog.at_level(logging.INFO, "subscriber.dispatcher"):
        flow(work)
        clock.forward(minutes=1)
        flow(work)
    told = [action for action in actions(caplog.records) if action.startswith("route_")]
    assert told == ["route_held", "route_released"]


def test_an_observer_counts_every_outcome(store: Store, clock: TurnableClock) -> None:
    observer = Outcomes()
    add(store, notification(), notification(), notification())
    work = dispatcher(store, clock, handled_by(Recorder(None, Dead("x"), ValueError("y"))), observer=observer)
    flow(work)
    assert sorted(observer.seen) == [("mindsphere", outcome) for outcome in ("dead", "done", "retry")]
