"""A migrated database on the real server of this run, and a store on it whose clock the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from subscriber.store import Store
from subscriber.store.postgres import open_store
from subscriber.store.postgres.database import Database
from tests.servers.postgres import Server, shared
from tests.store.making import Clock


@pytest.fixture
def server() -> Server:
    return shared()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    url = server.fresh()
    yield url
    server.drop(url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    with closing(open_store(url, clock=clock, patience_seconds=2.0)) as store:
        yield store


@pytest.fixture
def database(url: str, clock: Clock) -> Iterator[Database]:
    with closing(Database(url, clock, patience_seconds=2.0)) as database:
        yield database
