"""Named locks where their holders are processes that know nothing of one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from datetime import UTC, datetime
from functools import partial

import pytest

from subscriber.store import Fence, Store
from subscriber.store.postgres import open_store
from subscriber.store.postgres.locks import held
from tests.store.making import Clock
from tests.store.postgres.asking import aside, ask


def test_a_fencing_number_outlives_the_release(store: Store) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(store.registry.acquire("prune", "a", 10))
        store.registry.release("prune", "a")
    assert numbers == [1, 2, 3]


def test_a_holder_that_comes_back_too_late_gets_a_new_number(store: Store, clock: Clock) -> None:
    assert store.registry.acquire("prune", "a", 10) == 1
    clock.advance(seconds=10)
    assert store.registry.acquire("prune", "a", 10) == 2


def test_releasing_what_nobody_holds_is_fine(store: Store) -> None:
    store.registry.release("prune", "a")
    assert store.registry.acquire("prune", "b", 10) == 1


def test_of_many_who_ask_at_once_one_gets_the_lock(store: Store, clock: Clock) -> None:
    for turn in range(1, 4):
        with ThreadPoolExecutor(8) as threads:
            numbers = list(threads.map(lambda who: store.registry.acquire("prune", f"h{who}", 10), range(8)))
        assert [number for number in numbers if number is not None] == [turn]
        clock.advance(seconds=10)


def test_whoever_takes_a_lock_over_waits_for_what_was_written_under_it(store: Store, clock: Clock, url: str) -> None:
    number = store.registry.acquire("register", "old", 10)
    assert number is not None
    clock.advance(seconds=10)
    with aside(url) as writing, ThreadPoolExecutor(1) as threads:
        assert held(Fence(name="register", holder="old", number=number), writing)
        taking = threads.submit(partial(store.registry.acquire, "register", "new", 10))
        with pytest.raises(NotYet):
            taking.result(0.2)
        writing.commit()
        assert taking.result(5) == number + 1
        assert not held(Fence(name="register", holder="old", number=number), writing)


def test_renewing_a_lock_waits_for_nobody_who_writes_under_it(store: Store, url: str) -> None:
    number = store.registry.acquire("register", "us", 10)
    assert number is not None
    with aside(url) as writing:
        assert held(Fence(name="register", holder="us", number=number), writing)
        assert store.registry.acquire("register", "us", 10) == number


def test_the_clock_is_the_databases(url: str) -> None:
    store = open_store(url)
    try:
        store.registry.acquire("prune", "a", 600)
        ((until,),) = ask(url, "SELECT until FROM locks")
        assert 0 < until / 1000 - datetime.now(UTC).timestamp() < 700
    finally:
        store.close()
