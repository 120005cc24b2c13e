"""What operators see of channels."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from subscriber.channels import Place
from subscriber.channels.board import BATCH_ROWS, CONNECTED, CONNECTING, WAITING, Board
from subscriber.model import CUMULOCITY, Tenant
from subscriber.store import Store
from subscriber.store.sqlite.lockfile import WriterLock

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


def place(name: str = "worker") -> Place:
    return Place(Tenant(CUMULOCITY, "t402119"), "cold", name)


def shown(store: Store) -> list[tuple[str, str, str]]:
    return [(row.name, row.state, row.detail) for row in store.registry.channels(CUMULOCITY)]


def test_states_are_written_together_and_only_the_last_of_each(store: Store) -> None:
    board = Board(store.registry, Clock())
    for state in (CONNECTING, CONNECTED):
        board.show(place(), state)
    board.show(place("other"), WAITING, "broken")
    assert shown(store) == []
    asyncio.run(board.write())
    assert shown(store) == [("other", WAITING, "broken"), ("worker", CONNECTED, "")]


def test_a_state_is_as_old_as_its_last_change(store: Store) -> None:
    clock = Clock()
    board = Board(store.registry, clock)
    board.show(place(), WAITING, "broken")
    clock.now += timedelta(minutes=5)
    board.show(place(), WAITING, "occupied")
    asyncio.run(board.write())
    (row,) = store.registry.channels(CUMULOCITY)
    assert (row.since, row.detail) == (START, "occupied")


def test_a_channel_that_is_not_wanted_any_more_disappears(store: Store) -> None:
    board = Board(store.registry, Clock())
    board.show(place(), CONNECTED)
    asyncio.run(board.write())
    board.forget(place())
    asyncio.run(board.write())
    assert shown(store) == []


def test_a_channel_that_runs_elsewhere_is_left_to_others(store: Store) -> None:
    board = Board(store.registry, Clock())
    board.show(place(), CONNECTED)
    asyncio.run(board.write())
    board.leave(place())
    asyncio.run(board.write())
    assert shown(store) == [("worker", CONNECTED, "")]
    assert not any(board.counts().values())


def test_what_could_not_be_written_is_written_next_time(store: Store, path: Path) -> None:
    board = Board(store.registry, Clock())
    board.show(place(), CONNECTED)
    board.show(place("gone"), CONNECTED)
    with WriterLock(str(path)):
        asyncio.run(board.write())
    board.forget(place("gone"))
    assert shown(store) == []
    asyncio.run(board.write())
    assert shown(store) == [("worker", CONNECTED, "")]


def test_many_are_written_in_batches(store: Store) -> None:
    board = Board(store.registry, Clock())
    for number in range(BATCH_ROWS + 1):
        board.show(place(f"n{number}"), CONNECTED)
    asyncio.run(board.write())
    assert len(shown(store)) == BATCH_ROWS + 1


def test_channels_are_counted_by_platform_and_state(store: Store) -> None:
    board = Board(store.registry, Clock())
    board.show(place(), CONNECTING)
    board.show(place(), CONNECTED)
    board.show(place("other"), CONNECTED)
    board.forget(place("other"))
    assert {labels: count for labels, count in board.counts().items() if count} == {(CUMULOCITY, CONNECTED): 1}
