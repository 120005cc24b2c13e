"""The pool of read connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from subscriber.errors import StoreBusy, StoreUnavailable
from subscriber.store.sqlite.readers import CONNECTIONS, Readers


@pytest.fixture
def readers(url: str, path: Path) -> Iterator[Readers]:
    with closing(Readers(str(path), wait_seconds=0.1)) as readers:
        yield readers


def test_a_connection_that_came_back_is_lent_again(readers: Readers) -> None:
    with readers.lend() as first:
        pass
    with readers.lend() as second:
        assert second is first


def test_there_are_only_so_many_connections(readers: Readers) -> None:
    with ExitStack() as lent:
        connections = [lent.enter_context(readers.lend()) for _ in range(CONNECTIONS)]
        assert len(set(connections)) == CONNECTIONS
        with pytest.raises(StoreBusy), readers.lend():
            pass
    with readers.lend():
        pass


def test_a_connection_that_failed_is_not_lent_again(readers: Readers) -> None:
    with pytest.raises(StoreUnavailable), readers.lend() as broken:
        broken.execute("SELECT * FROM nowhere")
    with readers.lend() as fresh:
        assert fresh is not broken


def test_a_missing_database_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"), Readers(str(tmp_path / "none.db")).lend():
        pass


def test_what_is_lent_when_the_pool_closes_is_closed_when_it_comes_back(readers: Readers) -> None:
    with readers.lend() as connection:
        readers.close()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(Exception, match="closed database"):
        connection.execute("SELECT 1")
