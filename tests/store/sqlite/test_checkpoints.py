"""The log stays short without making anybody wait."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.store import Store
from subscriber.store.sqlite import checkpoints
from subscriber.store.sqlite.checkpoints import Checkpointer
from subscriber.store.sqlite.driver import Connection, open_reader, open_writer
from subscriber.store.sqlite.lockfile import WriterLock
from tests.store.making import notification, several


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        yield connection


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of twenty pages is long, and looked at all the time."""
    monkeypatch.setattr(checkpoints, "LONG_LOG_PAGES", 20)
    monkeypatch.setattr(checkpoints, "INTERVAL_SECONDS", 0.001)


def write(connection: Connection, pages: int = 50) -> None:
    connection.execute(
        "INSERT INTO audit (at, actor, action, detail) VALUES (0, '', '', hex(zeroblob(?)))", (pages * 2000,)
    )


def log_size(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


def test_a_long_log_is_moved_and_starts_anew(connection: Connection, path: Path) -> None:
    sizes = []
    for _ in range(5):
        write(connection)
        assert Checkpointer(str(path)).shorten(connection)
        sizes.append(log_size(path))
    assert len(set(sizes[1:])) == 1  # always the same pages of the file are written again


def test_a_short_log_is_left_alone(connection: Connection, path: Path) -> None:
    write(connection, pages=1)
    assert not Checkpointer(str(path)).shorten(connection)


def test_a_reader_of_an_old_moment_only_delays_it(connection: Connection, path: Path) -> None:
    with closing(open_reader(str(path))) as reader:
        write(connection)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM audit").fetchone()
        write(connection)
        assert not Checkpointer(str(path)).shorten(connection)
        reader.execute("COMMIT")
        assert Checkpointer(str(path)).shorten(connection)


def test_the_log_stays_short_while_a_store_is_written_to(store: Store, path: Path) -> None:
    moved = 0
    for round in range(300):
        before = path.stat().st_size
        store.inbox.add(several(5, prefix=f"{round}-"))
        moved += path.stat().st_size > before
        if moved > 3:
            return
        time.sleep(0.005)
    pytest.fail("nothing was moved into the database")


def test_a_failure_is_told_and_tried_again(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = Checkpointer(str(path.with_name("none.db")))
    with caplog.at_level(logging.ERROR):
        checkpointer.note_commit()
        while not caplog.records:
            time.sleep(0.001)
    assert {record.action for record in caplog.records} == {"checkpoint"}  # type: ignore[attr-defined]
    checkpointer.close()
    assert store.inbox.add([notification()])


def test_closing_does_not_wait_for_a_turn_that_does_not_come(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "STOP_SECONDS", 0.1)
    store.inbox.add(several(200))
    checkpointer = Checkpointer(str(path))
    with WriterLock(str(path)):
        checkpointer.note_commit()
        began = time.monotonic()
        checkpointer.close()
        assert time.monotonic() - began < 5
