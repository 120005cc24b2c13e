"""What a conversation remembers: with the rows, all of it of one moment, and gaps told once over crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from subscriber.channels.admitter import Admitter, Lane
from subscriber.channels.board import Board
from subscriber.channels.conversations import COVERAGE, ROWS, SESSION, fact_name
from subscriber.channels.notebook import Notebook, open_notebook
from subscriber.channels.pulse import Pulse
from subscriber.channels.runner import Shared
from subscriber.model import SMARTREST
from subscriber.platforms.smartrest.messages import Row
from subscriber.platforms.smartrest.turns import Turn
from subscriber.store import ChannelFact, Store
from tests.channels.small_realtime import X_ID
from tests.channels.small_sockets import outbound
from tests.channels.talking import conversation, gaps, texts
from tests.channels.working import Counted

CLIENT = b"3k9x0q7w1vj2m5d8t4b6"
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Process:
    """A worker's parts for one conversation; its clock moves a minute with each look."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.counted = Counted()
        self.looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return START + timedelta(minutes=self.looks)

    @asynccontextmanager
    async def notebook(self) -> AsyncIterator[Notebook]:
        async with outbound() as out:
            shared = Shared(
                store=self.store,
                admitter=Admitter(self.store.inbox, self.counted.channel_frames),
                board=Board(self.store.registry, self.now),
                outbound=out,
                pulse=Pulse(),
                observer=self.counted,
                now=self.now,
            )
            notebook = await open_notebook(conversation("").realtime, shared, Lane(SMARTREST))
            await notebook.begin()
            yield notebook


def take(notebook: Notebook, body: bytes) -> Turn:
    """Ask for the next request and have it answered so."""
    assert notebook.session.request() is not None
    notebook.session.receive(body)
    return notebook.session.end(200)


def notebook_now(notebook: Notebook) -> datetime:
    return notebook._shared.now()


async def keep(notebook: Notebook, *bodies: bytes) -> None:
    for body in bodies:
        await notebook.keep(take(notebook, body), notebook_now(notebook))


def test_rows_and_memory_are_of_one_moment(store: Store) -> None:
    async def story() -> None:
        async with Process(store).notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"", b"501,a\n88,1")
            turn = take(notebook, b"501,b\n88,2")
        async with Process(store).notebook() as again:  # a crash before the second answer was kept
            assert again.session.acknowledged
            request = again.session.request()
            assert request is not None and request.body == b"83," + CLIENT + b",1"
            again.session.abandon()
            assert turn.rows == [Row(X_ID, ("501", "b"))]
            await keep(again, b"501,b\n88,2")

    asyncio.run(story())
    assert texts(store) == ["501,a", "501,b"]
    assert not gaps(store)


def test_rows_without_a_key_are_counted_on_over_a_crash(store: Store) -> None:
    async def story() -> None:
        async with Process(store).notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"", b"501,a\n88,1")
        async with Process(store).notebook() as again:
            await keep(again, b"501,a\n88,2")

    asyncio.run(story())
    assert texts(store) == ["501,a", "501,a"]


@pytest.mark.parametrize(("answer", "resting", "reasons"), [(b"501,a", False, ["answer_lost"]), (b"501,a", True, [])])
def test_a_crash_where_nothing_is_acknowledged_is_a_possible_gap_and_a_planned_stop_is_none(
    store: Store, answer: bytes, resting: bool, reasons: list[str]
) -> None:
    async def story() -> None:
        async with Process(store).notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"", answer)
            if resting:
                await notebook.rest()
        async with Process(store).notebook() as again:
            await keep(again, b"")

    asyncio.run(story())
    assert [gap.reason for gap in gaps(store)] == reasons


def test_a_gap_that_was_told_just_before_a_crash_is_not_told_again(store: Store) -> None:
    process = Process(store)

    place = conversation("").place

    async def story() -> None:
        async with process.notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"", b"88,1", b"86,,,handshake", b"again", b"")
            before = store.registry.channel_fact(place.tenant, place.channel, fact_name(place, COVERAGE))
            await keep(notebook, b"88,1")
        put(store, COVERAGE, before)  # as a crash would leave it
        async with process.notebook() as again:
            await keep(again, b"88,2")

    asyncio.run(story())
    assert [gap.reason for gap in gaps(store)].count("session_lost") == 1
    assert process.counted.gaps["session_lost"] == 1


def test_a_memory_that_cannot_be_read_begins_a_new_session_and_a_gap(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with Process(store).notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"", b"501,a\n88,1")
        put(store, SESSION, b"strange")
        put(store, ROWS, b"odd")
        async with Process(store).notebook() as again:
            assert not again.session.covered
            await keep(again, b"20,1", b"again", b"")

    asyncio.run(story())
    assert [gap.reason for gap in gaps(store)] == ["session_lost"]
    assert caplog.text.count("begins anew") == 2


def test_a_coverage_that_cannot_be_read_is_left(store: Store) -> None:
    put(store, COVERAGE, b"strange")

    async def story() -> None:
        async with Process(store).notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"")

    asyncio.run(story())
    assert not gaps(store)


def put(store: Store, what: str, value: bytes) -> None:
    place = conversation("").place
    store.inbox.add([], [], [ChannelFact(place.tenant, place.channel, fact_name(place, what), value)])


def test_records_that_are_no_rows_are_kept_as_a_dead_letter(store: Store) -> None:
    async def story() -> None:
        async with Process(store).notebook() as notebook:
            await keep(notebook, b"20,1", CLIENT, b"", b'501,a\n501,"never closed')

    asyncio.run(story())
    assert texts(store) == ["501,a"]
    (letter,) = store.reports.dead_letters(None, 10)
    assert (letter.letter.reason, letter.letter.body) == ("unterminated", b'501,"never closed')
