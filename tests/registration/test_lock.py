"""One instance at a time, and whoever lost its turn is told."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pysqlite3
import pytest

from emulator.processes import wait_until
from subscriber.errors import LockHeld
from subscriber.registration import lock
from subscriber.registration.lock import locked
from subscriber.store import Store
from tests.store.making import Clock


def test_only_one_holds_it_and_the_next_has_a_higher_number(store: Store) -> None:
    with locked(store.registry, "one", threading.Event()) as first:
        with pytest.raises(LockHeld), locked(store.registry, "one", threading.Event()):
            raise AssertionError("two at once")
        with locked(store.registry, "two", threading.Event()):
            pass
    with locked(store.registry, "one", threading.Event()) as second:
        assert second.number == first.number + 1


def test_it_is_free_after_an_error(store: Store) -> None:
    with pytest.raises(RuntimeError), locked(store.registry, "one", threading.Event()):
        raise RuntimeError
    with locked(store.registry, "one", threading.Event()):
        pass


def test_it_is_renewed_while_it_is_held(
    tmp_path: Path, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.01)
    lost = threading.Event()
    with locked(store.registry, "one", lost):
        for _ in range(4):
            assert store.registry.acquire("one", "another", 1.0) is None
            clock.advance(seconds=lock.LOCK_SECONDS / 2)
            wait_until("a renewal", lambda: _free_in(tmp_path, clock) > lock.LOCK_SECONDS * 0.9, 5)
        assert not lost.is_set()


def _free_in(folder: Path, clock: Clock) -> float:
    """Seconds until another could have it, read where asking for it would take it."""
    with closing(pysqlite3.connect(folder / "subscriber.db")) as database:
        (until,) = database.execute("SELECT until FROM locks WHERE name = 'one'").fetchone()
    return float(until) / 1000 - clock().timestamp()


def test_whoever_slept_through_its_time_learns_that_another_has_it(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.05)
    lost = threading.Event()
    with locked(store.registry, "one", lost):
        clock.advance(seconds=lock.LOCK_SECONDS + 1)
        wait_until("somebody else to take it", lambda: _take_over(store, clock), 5)
        assert lost.wait(5)


def _take_over(store: Store, clock: Clock) -> bool:
    """A renewal may come first: then its time has to run out again."""
    if store.registry.acquire("one", "another", 3600.0) is not None:
        return True
    clock.advance(seconds=lock.LOCK_SECONDS + 1)
    return False
