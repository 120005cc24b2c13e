"""A migrated SQLite database in a folder of its own, and a store on it whose clock the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import migrations
from subscriber.store import Store
from subscriber.store.sqlite import open_store
from tests.store.making import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    url = f"sqlite:///{path}"
    migrations.apply(url)
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    with closing(open_store(url, clock=clock, patience_seconds=2.0)) as store:
        yield store
