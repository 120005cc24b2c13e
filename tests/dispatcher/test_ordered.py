"""Ordered routes: a source's notifications one after another, as they arrived, whoever handles them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import subscriber.dispatcher as module
from subscriber.dispatcher import Dispatcher, RetryPolicy, Settled
from subscriber.handlers import Dead, Retry, Route, keep
from subscriber.model import CUMULOCITY, MINDSPHERE, Notification, State
from subscriber.routes import Answer, Handler, RunningAttempt
from subscriber.sinks import forward
from subscriber.store import Inbox, Store, open_store
from tests.dispatcher.stories import (
    SCHEMES,
    TOPIC,
    FaultyInbox,
    TurnableClock,
    flow,
    new_database,
    notification,
    row_of,
    running,
    until,
)
from tests.small_receiver import SmallReceiver

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
def live_store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as store:
        yield store


class Journal:
    """A handler that writes down what it got; ``answers`` says what to answer to which, once."""

    def __init__(self) -> None:
        self.seen: list[Notification] = []
        self.answers: dict[bytes, Answer] = {}

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        self.seen.append(notification)
        return self.answers.pop(notification.key, None)


def dispatcher(store: Store, clock: TurnableClock, *routes: Route, **options: Any) -> Dispatcher:
    defaults: dict[str, Any] = {"policy": POLICY, "threads": 4, "clock": clock, "jitter": lambda: 0.5}
    return Dispatcher(store.inbox, store.registry, routes, **defaults | options)


def in_order(handler: Handler, **options: Any) -> Route:
    return Route(handler=handler, ordered=True, **options)


def add(store: Store, *sources: str, **options: Any) -> list[Notification]:
    given = [notification(source=source, **options) for source in sources]
    store.inbox.add(given)
    return given


def test_one_of_each_source_at_a_time(store: Store, clock: TurnableClock) -> None:
    one, _, other, bare, bare_too = add(store, "pump", "pump", "fan", "", "")
    journal = Journal()
    dispatcher(store, clock, in_order(journal)).run_once()
    assert sorted(seen.key for seen in journal.seen) == [each.key for each in (one, other, bare, bare_too)]


def test_in_the_order_of_arrival(store: Store, clock: TurnableClock) -> None:
    given, journal = add(store, *["pump"] * 20), Journal()
    assert flow(dispatcher(store, clock, in_order(journal))) == {Settled.DONE: 20}
    assert journal.seen == given


def test_the_same_source_of_two_tenants_is_two_sources(store: Store, clock: TurnableClock) -> None:
    add(store, "pump", tenant="custaa")
    add(store, "pump", tenant="custbb")
    assert dispatcher(store, clock, in_order(keep)).run_once() == {Settled.DONE: 2}


def test_a_retry_holds_back_its_own_source_only(store: Store, clock: TurnableClock) -> None:
    first, second, other = add(store, "pump", "pump", "fan")
    journal = Journal()
    journal.answers[first.key] = Retry(None, "later")
    work = dispatcher(store, clock, in_order(journal))
    assert flow(work) == {Settled.RETRY: 1, Settled.DONE: 1}
    assert set(journal.seen) == {first, other}
    clock.forward(seconds=5)
    assert flow(work) == {Settled.DONE: 2}
    assert journal.seen[2:] == [first, second]


def test_a_dead_row_holds_nothing_back(store: Store, clock: TurnableClock) -> None:
    first, second = add(store, "pump", "pump")
    journal = Journal()
    journal.answers[first.key] = Dead("spam")
    assert flow(dispatcher(store, clock, in_order(journal))) == {Settled.DEAD: 1, Settled.DONE: 1}
    assert journal.seen == [first, second]


def test_a_source_goes_on_when_the_attempts_of_its_first_run_out(store: Store, clock: TurnableClock) -> None:
    first, second = add(store, "pump", "pump")

    def failing(notification: Notification, attempt: RunningAttempt) -> None:
        if notification == first:
            raise ValueError("no")

    work = dispatcher(store, clock, in_order(failing))
    for _ in range(POLICY.max_attempts):
        assert row_of(store, second).attempts == 0
        flow(work)
        clock.forward(hours=1)
    assert (row_of(store, first).state, row_of(store, second).state) == (State.DEAD, State.DONE)


@pytest.mark.parametrize(("platform", "at_once"), [(CUMULOCITY, 1), (MINDSPHERE, 2)])
def test_order_is_kept_unasked_where_the_platform_promises_it(
    store: Store, clock: TurnableClock, platform: str, at_once: int
) -> None:
    add(store, "pump", "pump", platform=platform)
    assert dispatcher(store, clock, Route(handler=keep)).run_once() == {Settled.DONE: at_once}


def test_a_route_over_many_topics_keeps_the_order_over_all_of_them(store: Store, clock: TurnableClock) -> None:
    given = [each for topic in ("b", "a", "c", "a") for each in add(store, "pump", topic=topic)]
    journal = Journal()
    flow(dispatcher(store, clock, in_order(journal, topic="?")))
    assert journal.seen == given


def test_routes_of_their_own_topics_do_not_wait_for_each_other(store: Store, clock: TurnableClock) -> None:
    add(store, "pump", topic="a")
    add(store, "pump", topic="b")
    work = dispatcher(store, clock, in_order(keep, topic="a"), in_order(keep, topic="b"))
    assert work.run_once() == {Settled.DONE: 2}


def test_rows_of_an_ordered_lane_that_go_elsewhere_are_held_to_the_order(store: Store, clock: TurnableClock) -> None:
    [created] = add(store, "pump", action="CREATE")
    [updated] = add(store, "pump", action="UPDATE")
    journal = Journal()
    journal.answers[created.key] = Retry(None, "later")
    flow(dispatcher(store, clock, in_order(journal, action="CREATE"), Route(handler=keep)))
    assert (row_of(store, created).state, row_of(store, updated).state) == (State.PENDING, State.PENDING)


def test_a_pause_keeps_the_order(store: Store, clock: TurnableClock) -> None:
    [first], [second] = add(store, "pump", topic="a"), add(store, "pump", topic="b")
    journal = Journal()
    work = dispatcher(store, clock, in_order(journal))
    store.registry.pause("topic", "a")
    flow(work)
    assert journal.seen == []
    store.registry.resume("topic", "a")
    flow(work)
    assert journal.seen == [first, second]


def test_an_outage_of_the_receiver_keeps_the_order(store: Store, clock: TurnableClock) -> None:
    given = [each for _ in range(5) for each in add(store, "pump", "fan")]
    with SmallReceiver() as receiver:
        receiver.status = 503
        work = dispatcher(store, clock, in_order(forward(receiver.url)))
        for _ in range(3):
            flow(work)
            clock.forward(minutes=1)
        receiver.status = 200
        refused = len(receiver.requests)
        assert flow(work) == {Settled.DONE: 10}
        got = [request.headers["webhook-id"] for request in receiver.requests[refused:]]
    for source in ("pump", "fan"):
        wanted = [each.id for each in given if each.source == source]
        assert [id for id in got if id in wanted] == wanted


def test_a_replayed_row_takes_its_old_place(store: Store, clock: TurnableClock) -> None:
    [first] = add(store, "pump")
    journal = Journal()
    journal.answers[first.key] = Dead("spam")
    work = dispatcher(store, clock, in_order(journal))
    flow(work)
    [second] = add(store, "pump")
    store.inbox.replay(first.tenant, [first.key])
    flow(work)
    assert journal.seen == [first, first, second]


# ---- many at once


class Witness:
    """A handler that fails at random, and sees whether two of a source ever run at once or out of order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._latest: dict[str, bytes] = {}
        self.inversions = 0
        self.overlaps = 0
        self.ends: Counter[str] = Counter()

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> Answer:
        source = notification.source
        with self._lock:
            self.overlaps += source in self._busy
            self.inversions += notification.key < self._latest.get(source, b"")
            self._busy.add(source)
            self._latest[source] = notification.key
            fate = self._random.choices(["done", "retry", "dead", "error"], [80, 8, 4, 8])[0]
        time.sleep(0.0002)  # gives another thread the chance to break in
        with self._lock:
            self._busy.discard(source)
            self.ends[fate] += 1
        if fate == "error":
            raise ValueError("at random")
        return {"done": None, "retry": Retry(None, "again"), "dead": Dead("spam")}[fate]


def test_two_dispatchers_on_one_database_never_invert_nor_overlap_a_source(live_store: Store, url: str) -> None:
    sources = random.Random(1).choices([f"s{number}" for number in range(40)], k=2000)
    tenants = ("custaa", "custbb")
    batch = [notification(tenants[n % 2], f"t{n % 3}", source=f"{n % 2}{s}") for n, s in enumerate(sources)]
    live_store.inbox.add(batch)
    second, witness = open_store(url), Witness(2)
    work = [
        Dispatcher(store.inbox, store.registry, [in_order(witness)], policy=IMPATIENT, threads=4)
        for store in (live_store, second)
    ]
    with running(*work):
        until(lambda: live_store.reports.counts().pending + live_store.reports.counts().running == 0, 120)
    second.close()
    assert (witness.inversions, witness.overlaps) == (0, 0)
    assert witness.ends["done"] + witness.ends["dead"] == 2000
    assert live_store.reports.counts().dead == witness.ends["dead"] > 0


# ---- waiting without spinning


class Attentive(FaultyInbox):
    """Counts the turns that lease; hands out or swallows hints of arrival."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(inbox)
        self.leases = 0
        self.hint: Callable[[], None] = lambda: None
        self.before = self._count

    def on_arrival(self, callback: Callable[[], None]) -> None:
        self.hint = callback

    def _count(self, name: str) -> None:
        self.leases += name == "lease"


def test_lanes_whose_rows_all_wait_do_not_keep_the_dispatcher_busy(live_store: Store) -> None:
    first, _ = add(live_store, "pump", "pump")
    inbox, journal = Attentive(live_store.inbox), Journal()
    journal.answers[first.key] = Retry(row_of(live_store, first).not_before.replace(year=2100), "next century")
    with running(Dispatcher(inbox, live_store.registry, [in_order(journal)], policy=POLICY, threads=2)):
        until(lambda: row_of(live_store, first).reason == "next century")
        began, before = time.monotonic(), inbox.leases
        until(lambda: time.monotonic() > began + 1)
    assert inbox.leases - before <= 10, "0.05, 0.1, 0.2, 0.4, 0.5 seconds apart"
    assert journal.seen == [first]


def test_the_next_of_a_source_follows_at_once(live_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn is left to the clock: with pauses of a minute, 50 of one source would take an hour."""
    monkeypatch.setattr(module, "IDLE_MIN_SECONDS", 60.0)
    add(live_store, *["pump"] * 50)
    work = Dispatcher(live_store.inbox, live_store.registry, [in_order(keep)], policy=POLICY, threads=4)
    stop = threading.Event()
    thread = threading.Thread(target=work.run, args=(stop,))
    thread.start()
    until(lambda: live_store.reports.counts().done == 50)
    stop.set()
    add(live_store, "pump")  # wakes the dispatcher, which then sees that it shall stop
    thread.join(15)
    assert not thread.is_alive()


def test_a_hint_of_arrival_ends_the_pause(live_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_MIN_SECONDS", 60.0)
    inbox = Attentive(live_store.inbox)
    work = Dispatcher(inbox, live_store.registry, [Route(handler=keep)], policy=POLICY, threads=2)
    stop, turns = threading.Event(), threading.Semaphore(0)
    inbox.after = lambda name: turns.release() if name == "lanes" else None
    thread = threading.Thread(target=work.run, args=(stop,))
    thread.start()
    assert turns.acquire(timeout=5), "the first turn finds nothing"
    add(live_store, "pump")
    inbox.hint()
    until(lambda: live_store.reports.counts().done == 1)
    stop.set()
    inbox.hint()
    thread.join(15)
    assert not thread.is_alive()


def test_what_no_hint_told_of_is_found_all_the_same(live_store: Store) -> None:
    with running(
        Dispatcher(Attentive(live_store.inbox), live_store.registry, [Route(handler=keep)], policy=POLICY, threads=2)
    ):
        add(live_store, "pump", topic=TOPIC)
        until(lambda: live_store.reports.counts().done == 1)
