"""Leasing and settling: at a small and a large backlog, ordered beside unordered, and how long a notification waits.

Both stores; each pair is worked on in turn, so that what the machine does meanwhile happens to both.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

import migrations
from bench.keys import notifications
from bench.report import line, paired
from subscriber.dispatcher import Dispatcher, RetryPolicy
from subscriber.handlers import Notification, Route
from subscriber.model import Attempt, Done
from subscriber.routes import RunningAttempt
from subscriber.store import Store, open_store
from tests.servers.postgres import running

FEW, MANY = 1_000, int(os.environ.get("BACKLOG", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
HANDLED = 2_000  # rows leased and settled in a round
LEASED_AT_ONCE = 16  # two for each thread, as the dispatcher leases
THREADS = 8
RATE, PACED_SECONDS = 500, 10  # notifications a second, and for how long
BURST = 10
POLICY = RetryPolicy(max_attempts=12, base_seconds=5, max_seconds=3600)
FILLED_AT_ONCE = 5_000


def main() -> None:
    with tempfile.TemporaryDirectory() as name, running({"fsync": "on"}) as server:
        folder = Path(name)
        numbers = iter(range(1000))

        def sqlite() -> str:
            url = f"sqlite:///{folder}/{next(numbers)}.db"
            migrations.apply(url)
            return url

        for kind, url in (("sqlite", sqlite), ("postgres", server.fresh)):
            compare_backlogs(kind, url)
            compare_order(kind, url)
            measure_wait(kind, url)


def compare_backlogs(kind: str, url: Callable[[], str]) -> None:
    with opened(url()) as small, opened(url()) as large:
        stores, source = {FEW: small, MANY: large}, notifications()
        for backlog, store in stores.items():
            fill(store, source, backlog)
        rates: dict[int, list[float]] = {backlog: [] for backlog in stores}
        for number in range(ROUNDS + 1):
            for backlog, store in stores.items():
                fill(store, source, HANDLED)  # what this round takes away
                rate = lease_and_settle(store)
                if number:  # the first round fills the caches
                    rates[backlog].append(rate)
    slowdown = paired(rates[FEW], rates[MANY])
    for backlog, found in rates.items():
        line("handling", f"{kind}_lease_settle_at_{backlog}", median(found), "1/s", n=ROUNDS)
    line("handling", f"{kind}_slowdown", slowdown, "times", vs=f"backlog {FEW}", ratio=slowdown, n=ROUNDS)


def lease_and_settle(store: Store) -> float:
    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        handled = 0
        while handled < HANDLED:
            attempts = store.inbox.lease(store.inbox.lanes(), LEASED_AT_ONCE, 30.0)
            settled = pool.map(lambda attempt: settle(store, attempt), attempts)
            handled += sum(settled)
        return handled / (time.perf_counter() - started)


def settle(store: Store, attempt: Attempt) -> bool:
    return store.inbox.settle(attempt, Done())


def compare_order(kind: str, url: Callable[[], str]) -> None:
    """The whole dispatcher with a handler that does nothing, once in the order of each source."""
    with opened(url()) as store:
        source = notifications()
        rates: dict[bool, list[float]] = {False: [], True: []}
        for number in range(ROUNDS + 1):
            for ordered, found in rates.items():
                fill(store, source, HANDLED)
                rate = drain(store, ordered)
                if number:
                    found.append(rate)
    ratio = paired(rates[True], rates[False])
    line("handling", f"{kind}_ordered", median(rates[True]), "1/s", vs="unordered", ratio=ratio, n=ROUNDS)


def drain(store: Store, ordered: bool) -> float:
    counted = Countdown(HANDLED)
    with dispatching(store, counted.note, ordered):
        started = time.perf_counter()
        counted.done.wait()
        return HANDLED / (time.perf_counter() - started)


class Countdown:
    """A handler that says when so many have been handled."""

    def __init__(self, count: int) -> None:
        self.done = threading.Event()
        self._left = iter(range(count - 1, -1, -1))

    def note(self, notification: Notification, attempt: RunningAttempt) -> None:
        if next(self._left, 0) == 0:
            self.done.set()


def measure_wait(kind: str, url: Callable[[], str]) -> None:
    """From acceptance until the handler runs, at a steady rate."""
    waits: list[float] = []

    def note(notification: Notification, attempt: RunningAttempt) -> None:
        waits.append((datetime.now(UTC) - notification.received_at).total_seconds() * 1000)

    with opened(url()) as store, dispatching(store, note, False):
        source, started = notifications(), time.monotonic()
        for number in range(RATE * PACED_SECONDS // BURST):
            time.sleep(max(0.0, started + number * BURST / RATE - time.monotonic()))
            store.inbox.add([next(source) for _ in range(BURST)])
        wait_for(lambda: len(waits) == RATE * PACED_SECONDS)
    cuts = quantiles(waits, n=100)
    line("handling", f"{kind}_wait_p50_at_{RATE}", cuts[49], "ms", n=len(waits))
    line("handling", f"{kind}_wait_p99_at_{RATE}", cuts[98], "ms", n=len(waits))


@contextmanager
def dispatching(store: Store, handler: Callable[..., None], ordered: bool) -> Iterator[None]:
    dispatcher = Dispatcher(
        store.inbox, store.registry, [Route(handler=handler, ordered=ordered)], policy=POLICY, threads=THREADS
    )
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_for(check: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not check() and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as store:
        yield store


def fill(store: Store, source: Iterator[Notification], count: int) -> None:
    for start in range(0, count, FILLED_AT_ONCE):
        store.inbox.add(several(source, min(FILLED_AT_ONCE, count - start)))


def several(source: Iterator[Notification], count: int) -> Sequence[Notification]:
    return [next(source) for _ in range(count)]
