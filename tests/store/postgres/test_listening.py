"""Hints reach whoever asked for them, and outages end by themselves."""

from __future__ import annotations

import threading
from contextlib import closing

from subscriber.store import Store
from subscriber.store.postgres import open_store
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.listening import Listener
from tests.servers.postgres import Server
from tests.store.making import notification


def test_a_hint_comes_from_other_processes_as_well(url: str, store: Store) -> None:
    arrived = threading.Event()
    with closing(open_store(url)) as another:
        another.inbox.on_arrival(arrived.set)
        assert arrived.wait(10)  # at first, in case something came while nobody listened
        arrived.clear()
        store.inbox.add([notification()])
        assert arrived.wait(10)


def test_whoever_was_cut_off_listens_again_and_is_called_for_what_it_missed(
    server: Server, url: str, database: Database
) -> None:
    called = threading.Semaphore(0)
    with closing(Listener(database.connect, jitter=lambda: 0.0)) as listener:
        listener.add(lambda: called.release())
        for _ in range(2):
            assert called.acquire(timeout=10)
            server.terminate(url)
        assert called.acquire(timeout=10)


def test_a_callback_that_fails_hinders_nobody(database: Database) -> None:
    called = threading.Event()

    def failing() -> None:
        raise KeyError

    with closing(Listener(database.connect)) as listener:
        listener.add(failing)
        listener.add(called.set)
        with database.service() as connection:
            connection.execute("NOTIFY subscriber_arrivals")
        assert called.wait(10)


def test_nobody_listens_before_somebody_asks(server: Server, url: str, store: Store) -> None:
    store.inbox.add([notification()])
    assert server.admin("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'") == [(0,)]
