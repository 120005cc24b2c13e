"""The PostgreSQL store against the whole contract, against other processes, and against a server that goes away."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg
import pytest
from hypothesis import settings

from subscriber.errors import Unavailable
from subscriber.model import Notification
from subscriber.store import RowFilter, Store
from subscriber.store.postgres import open_store
from subscriber.store.postgres.arrivals import Arrival, entries_of, insert
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.horizon import LOCK
from subscriber.store.postgres.tenants import tenant_ids
from tests.servers.postgres import Server, running, shared
from tests.store.contract import (
    AddingContract,
    ChannelsContract,
    ForgettingContract,
    LeasingContract,
    OrderedContract,
    RegistryContract,
    ReplayContract,
    ReportsContract,
    SettlingContract,
    TailContract,
)
from tests.store.machine import StoreMachine
from tests.store.making import ACME, OTHER, Clock, channel, fact, key, lease_all, lease_ordered, letter, notification
from tests.store.postgres.conftest import clock, database, server, store, url
from tests.store.test_sqlite import ADD_FOREVER, LEASE_ALL, SAME_KEYS, run_together, start

__all__ = ["clock", "database", "server", "store", "url"]  # the fixtures of this module


class TestAdding(AddingContract):
    pass


class TestLeasing(LeasingContract):
    pass


class TestOrdered(OrderedContract):
    pass


class TestSettling(SettlingContract):
    pass


class TestReplay(ReplayContract):
    pass


class TestForgetting(ForgettingContract):
    pass


class TestRegistry(RegistryContract):
    pass


class TestChannels(ChannelsContract):
    pass


class TestReports(ReportsContract):
    pass


class TestTail(TailContract):
    pass


def test_four_processes_adding_the_same_thousand_are_told_new_a_thousand_times(url: str, store: Store) -> None:
    told = [tuple(map(int, output.split())) for output in run_together(SAME_KEYS, url)]
    assert (sum(new for new, _ in told), sum(old for _, old in told)) == (1000, 3000)
    counts = store.reports.counts()
    assert (counts.pending, counts.duplicates) == (1000, 3000)


def test_four_processes_lease_every_row_once(url: str, store: Store) -> None:
    store.inbox.add([notification(f"n{number}", topic=f"t{number % 5}") for number in range(1000)])
    leased = [int(seq) for output in run_together(LEASE_ALL, url) for seq in output.split()]
    assert len(leased) == len(set(leased)) == 1000


def test_a_killed_process_loses_nothing_it_was_told_is_stored(url: str, store: Store) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    for round in range(3):
        with start(ADD_FOREVER, url, str(round)) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(20, 200)):
                acknowledged.append(process.stdout.readline().strip())
            process.kill()
            acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert len(acknowledged) > 60
    assert missing(store, acknowledged) == []


class Sender:
    """Sends notifications from several threads, again and again until each is acknowledged, as platforms do."""

    def __init__(self, store: Store, threads: int = 4) -> None:
        self._store = store
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self.refused = 0
        self.acknowledged: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            name = f"sent-{next(self._numbers)}"
            while not self._sent(name) and not self._stop.wait(0.01):
                self.refused += 1

    def _sent(self, name: str) -> bool:
        try:
            self._store.inbox.add([notification(name)])
        except Unavailable:
            return False
        self.acknowledged.append(name)
        return True

    def await_more(self, count: int) -> None:
        """Until so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        eventually(lambda: len(self.acknowledged) >= wanted)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_sessions_that_are_ended_again_and_again_lose_nothing(server: Server, url: str) -> None:
    with closing(open_store(url)) as store:
        sender = Sender(store)
        ended = 0
        for _ in range(20):
            sender.await_more(5)
            ended += server.terminate(url)
        sender.await_more(5)
        sender.stop()
        assert ended >= 20
        assert missing(store, sender.acknowledged) == []
        assert store.reports.counts().pending >= len(sender.acknowledged)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_restarts_loses_nothing_and_is_found_again(how: signal.Signals) -> None:
    with running() as server, closing(open_store(server.fresh())) as store:
        sender = Sender(store)
        sender.await_more(50)
        server.stop(how)
        eventually(lambda: sender.refused > 3)
        with pytest.raises(Unavailable):
            store.inbox.lanes()
        server.start()
        sender.await_more(50)
        sender.stop()
        assert missing(store, sender.acknowledged) == []
        assert len(lease_all(store, 10)) == 10


def test_no_lease_in_order_overtakes_a_row_that_is_committed_late(url: str, store: Store, clock: Clock) -> None:
    store.inbox.add([notification("known", source="")])
    lease_all(store)
    with late_row(url, clock, notification("early")) as commit:
        store.inbox.add([notification("late"), notification("other", source="asset-2")])
        assert [attempt.notification.source for attempt in lease_ordered(store)] == []
        commit()
        names = [attempt.notification.key for attempt in lease_ordered(store)]
        assert names == [key("early"), key("other")]


def test_a_cursor_does_not_pass_a_row_that_is_committed_late(url: str, store: Store, clock: Clock) -> None:
    store.inbox.add([notification("known")])
    start = store.reports.end()
    with late_row(url, clock, notification("early")) as commit:
        store.inbox.add([notification("late")])
        tail = store.reports.after(RowFilter(), start, 10)
        assert tail.rows == []
        commit()
        tail = store.reports.after(RowFilter(), tail.cursor, 10)
        assert [row.notification.key for row in tail.rows] == [key("early"), key("late")]


def test_a_reader_that_forgets_its_tenant_sees_nothing_of_others(database: Database, store: Store) -> None:
    tenants = (ACME, OTHER)
    facts = [fact(tenant=tenant) for tenant in tenants]
    store.inbox.add([notification(tenant=tenant) for tenant in tenants], [letter(), letter(tenant=OTHER)], facts)
    store.registry.put_channels([channel(tenant=tenant) for tenant in tenants])
    with database.service() as connection:
        (own,) = tenant_ids(connection, 0, [ACME]).values()
    for table in ("inbox", "dead_letters", "minutes", "channel_facts", "channels"):
        with database.reader([own]) as connection:
            assert {id for (id,) in connection.execute(f"SELECT tenant_id FROM {table}")} == {own}  # type: ignore[arg-type]
        with database.reader([]) as connection:
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []  # type: ignore[arg-type]


@contextmanager
def late_row(url: str, clock: Clock, item: Notification) -> Iterator[Callable[[], None]]:
    """A row of a known tenant that another process inserted, and commits when told to."""
    with closing(Database(url, clock)) as another, closing(another.connect()) as connection:
        connection.autocommit = False
        connection.execute(LOCK)
        (tenant_id,) = tenant_ids(connection, another.now(connection), [item.tenant]).values()
        assert insert(
            connection, another.now(connection), entries_of([Arrival([item], [])], {item.tenant: tenant_id})
        )
        yield connection.commit


def missing(store: Store, names: list[str]) -> list[str]:
    return [name for name in names if store.reports.row(ACME, key(name)) is None]


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class PostgresMachine(StoreMachine):
    EFFECT = "INSERT INTO effects VALUES (%s)"

    def make(self) -> Store:
        self.url = shared().fresh()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE effects (key text)")
        self.reading = psycopg.connect(self.url, autocommit=True)
        return open_store(self.url, clock=self.clock, patience_seconds=2.0)

    def written(self) -> list[str]:
        return [each for (each,) in self.reading.execute("SELECT key FROM effects").fetchall()]

    def teardown(self) -> None:
        self.reading.close()
        super().teardown()
        shared().drop(self.url)


TestModel = PostgresMachine.TestCase
TestModel.settings = settings(max_examples=10, stateful_step_count=25, deadline=timedelta(minutes=1))
