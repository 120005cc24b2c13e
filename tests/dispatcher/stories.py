"""What the dispatcher's tests share: notifications with valid defaults, a clock to turn, real stores of each kind."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

import migrations
from subscriber.dispatcher import Dispatcher, Settled
from subscriber.errors import StoreUnavailable
from subscriber.model import Identity, Notification, Tenant
from subscriber.store import Cursor, Inbox, Row, RowFilter, Store, open_store
from subscriber.store.postgres import listening
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.settling import settling
from subscriber.store.sqlite.lending import LOAN_SECONDS
from tests.servers.postgres import shared

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
_numbers = itertools.count(1)


class Dialect(NamedTuple):
    """How a team's own statements differ."""

    mark: str  # of a value
    number: str  # the type of a column that counts by itself
    taken: str  # the error of a name that is there already


SQLITE, POSTGRES = "sqlite", "postgresql"
DIALECTS = {
    SQLITE: Dialect("?", "INTEGER", "IntegrityError"),
    POSTGRES: Dialect("%s", "BIGSERIAL", "UniqueViolation"),
}
SCHEMES = tuple(DIALECTS)


class TurnableClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def notification(
    tenant: str = "custaa",
    topic: str = TOPIC,
    *,
    platform: str = "mindsphere",
    source: str = "",
    action: str = "",
    occurred_at: datetime | None = None,
    body: bytes | None = b'{"a": 1}',
) -> Notification:
    """One that is new to every store."""
    return Notification(
        tenant=Tenant(platform, tenant),
        key=next(_numbers).to_bytes(22, "big"),
        identity=Identity.TIMED,
        topic=topic,
        source=source,
        action=action,
        occurred_at=occurred_at,
        received_at=NOW,
        body=body,
    )


def scheme_of(url: str) -> str:
    """One of the ``SCHEMES``."""
    return url.partition(":")[0]


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'inbox.db'}"


@contextmanager
def new_database(scheme: str, folder: Path) -> Iterator[str]:
    """The address of a migrated database of this test alone, of one of the ``SCHEMES``."""
    if scheme == SQLITE:
        migrations.apply(url_in(folder))
        yield url_in(folder)
        return
    url = shared().fresh()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listening, "TURN_SECONDS", 0.1)  # every store that closes waits for it
            yield url
    finally:
        shared().drop(url)


def open_new_store(folder: Path, clock: TurnableClock | None = None) -> Store:
    migrations.apply(url_in(folder))
    return open_store(url_in(folder), clock=clock)


def row_of(store: Store, wanted: Notification) -> Row:
    row = store.reports.row(wanted.tenant, wanted.key)
    assert row is not None
    return row


def rows_of(store: Store, wanted: RowFilter | None = None) -> Sequence[Row]:
    """The newest 500 rows."""
    return store.reports.rows(wanted or RowFilter(), 500).rows


class FaultyInbox:
    """A real inbox that refuses the named methods while a test wants it to."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.refused: set[str] = set()
        self.refusals = 0
        self.before: Callable[[str], None] = lambda name: None
        self.after: Callable[[str], None] = lambda name: None

    def __getattr__(self, name: str) -> Any:
        def call(*args: object, **kwargs: object) -> object:
            self.before(name)
            if name in self.refused:
                self.refusals += 1
                raise StoreUnavailable("as the test wants")
            result = getattr(self._inbox, name)(*args, **kwargs)
            self.after(name)
            return result

        return call


HASTE_SECONDS = 0.3


@contextmanager
def in_a_hurry(url: str, store: Store, clock: TurnableClock) -> Iterator[tuple[Inbox, float]]:
    """The store's inbox, and how long its transactions may be open: on PostgreSQL a moment instead of a minute."""
    if scheme_of(url) == SQLITE:
        yield store.inbox, LOAN_SECONDS
        return
    hurried: Any = FaultyInbox(store.inbox)
    with closing(Database(url, clock)) as database:
        hurried.settling = lambda attempt: settling(attempt, database, seconds=HASTE_SECONDS)
        yield hurried, HASTE_SECONDS


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    """One statement of the team's own, beside the store. Its rows, if it has any."""
    is_sqlite = scheme_of(url) == SQLITE
    connection: Any = sqlite3.connect(url.removeprefix("sqlite:///")) if is_sqlite else psycopg.connect(url)
    with closing(connection), connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


class Effects:
    """A team's own table beside the inbox: what transactional handlers wrote and what stayed of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._dialect = DIALECTS[scheme_of(url)]

    def create(self) -> None:
        number = self._dialect.number
        ask(self._url, f"CREATE TABLE effects (id {number} PRIMARY KEY, source TEXT, name TEXT UNIQUE)")

    def write(self, cursor: Cursor, source: str, name: str) -> None:
        """As a handler does. Every name can be written once."""
        mark = self._dialect.mark
        cursor.execute(f"INSERT INTO effects (source, name) VALUES ({mark}, {mark})", (source, name))

    def all(self) -> list[tuple[str, str]]:
        """(source, name) in the order of writing."""
        return ask(self._url, "SELECT source, name FROM effects ORDER BY id")


def flow(dispatcher: Dispatcher, limit: int = 100) -> Counter[Settled]:
    """Turns until one has nothing to do."""
    total: Counter[Settled] = Counter()
    for _ in range(limit):
        turn = dispatcher.run_once()
        if not turn:
            return total
        total += turn
    raise AssertionError(f"still busy after {limit} turns: {total}")


@contextmanager
def running(*work: Dispatcher) -> Iterator[Callable[[], None]]:
    """Runs them, a thread each; yields a function that stops them and waits for their end."""
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in work]
    for thread in threads:
        thread.start()

    def end() -> None:
        stop.set()
        for thread in threads:
            thread.join(15)
            assert not thread.is_alive()

    try:
        yield end
    finally:
        end()


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that is bound to happen."""
    give_up_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.005)
