"""A small Cumulocity, a migrated SQLite store with the real clock, and a worker's channels between the two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import migrations
from subscriber.store import Store
from subscriber.store.sqlite import open_store
from tests.channels.small_cumulocity import SmallCumulocity, small_cumulocity


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    url = f"sqlite:///{path}"
    migrations.apply(url)
    with closing(open_store(url, patience_seconds=0.5)) as store:
        yield store


@pytest.fixture
def platform() -> Iterator[SmallCumulocity]:
    with small_cumulocity() as platform:
        yield platform
