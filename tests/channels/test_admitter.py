"""All channels into the store: in order, in few submissions, and told only after the commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from subscriber.channels.admitter import ENOUGH_ROWS, WINDOW_FRAMES, Admitter, Burst, Lane
from subscriber.model import DeadLetter, Notification, Receipt
from subscriber.store import CHANNEL_FACT_BYTES, ChannelFact, Inbox, RowFilter, Store, Submission, open_store
from subscriber.store.sqlite.lockfile import WriterLock
from tests.servers.postgres import shared
from tests.store.making import ACME, letter, notification, several

DEADLINE_S = 20.0
PAYLOAD = "secret"


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest) -> Iterator[Store]:
    """One store and then the other: what a row cannot hold is decided by each in its own way."""
    if request.param == "sqlite":
        yield request.getfixturevalue("store")
        return
    url = shared().fresh()
    with closing(open_store(url)) as opened:
        yield opened
    shared().drop(url)


@dataclass
class Watching:
    """The store's inbox, with the size of each submission written down."""

    inbox: Inbox
    sizes: list[int] = field(default_factory=list)

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Submission:
        self.sizes.append(len(notifications))
        return self.inbox.submit(notifications, dead_letters, facts)


@dataclass
class Buggy(Watching):
    """Fails twice as only a bug can: when something is handed in, and when it is told what became of it."""

    def submit(
        self,
        notifications: Sequence[Notification],
        dead_letters: Sequence[DeadLetter] = (),
        facts: Sequence[ChannelFact] = (),
    ) -> Submission:
        submission = super().submit(notifications, dead_letters, facts)
        if len(self.sizes) == 1:
            raise TypeError(PAYLOAD)
        return Forgetful(submission) if len(self.sizes) == 2 else submission


@dataclass
class Forgetful:
    """A submission whose outcome cannot be told."""

    submission: Submission

    def receipts(self) -> list[Receipt]:
        self.submission.receipts()
        raise KeyError(PAYLOAD)

    def when_done(self, callback: Callable[[], None]) -> None:
        self.submission.when_done(callback)


class Scene:
    """An admitter at work, and what it told."""

    def __init__(self, store: Store, watching: type[Watching] = Watching, **settings: float) -> None:
        self.inbox = watching(store.inbox)
        self.counts: dict[str, int] = {}
        self.committed: list[str] = []
        self.admitter = Admitter(
            cast(Inbox, self.inbox),
            self._count,
            jitter=lambda: 0.0,
            retry_base_seconds=0.02,
            pending_bytes=int(settings.get("pending_bytes", 1 << 20)),
            overdue_seconds=settings.get("overdue_seconds", 6.0),
        )

    def _count(self, platform: str, outcome: str, count: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + count

    def put(self, lane: Lane, notifications: Sequence[Notification], name: str = "", size: int = 1) -> None:
        self.admitter.put(burst(lane, notifications, lambda: self.committed.append(name), size=size))


def burst(
    lane: Lane,
    notifications: Sequence[Notification],
    committed: Callable[[], None] = lambda: None,
    *,
    letters: Sequence[DeadLetter] = (),
    facts: Sequence[ChannelFact] = (),
    size: int = 1,
) -> Burst:
    return Burst(
        lane=lane,
        notifications=notifications,
        dead_letters=letters,
        facts=facts,
        frames=len(notifications) + len(letters),
        size=size,
        committed=committed,
    )


@asynccontextmanager
async def at_work(store: Store, watching: type[Watching] = Watching, **settings: float) -> AsyncIterator[Scene]:
    scene = Scene(store, watching, **settings)
    working = asyncio.create_task(scene.admitter.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield scene
    finally:
        working.cancel()
        await asyncio.wait({working})


def run(story: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(story())


def names(store: Store) -> list[str]:
    """Sources in order of arrival."""
    return [row.notification.source for row in store.reports.after(RowFilter(), "", 1000).rows]


def test_a_burst_is_told_committed_once_it_is_stored(store: Store) -> None:
    async def story() -> None:
        async with at_work(store) as scene:
            lane = Lane("cumulocity")
            scene.put(lane, several(3), "one")
            assert scene.committed == []
            await scene.admitter.stored(lane)
            assert scene.committed == ["one"]
            assert store.reports.counts().pending == 3
            assert scene.counts == {"new": 3}

    run(story)


def test_what_waits_goes_in_together_whatever_channel_it_came_on(store: Store) -> None:
    async def story() -> None:
        async with at_work(store) as scene:
            lanes = [Lane("cumulocity") for _ in range(100)]
            for number, lane in enumerate(lanes):
                scene.put(lane, several(5, prefix=f"n{number}-"))
            for lane in lanes:
                await scene.admitter.stored(lane)
            assert len(scene.inbox.sizes) <= 3  # one began with the first burst, the others share

    run(story)


def test_a_submission_takes_no_more_bursts_once_it_has_enough(store: Store) -> None:
    async def story() -> None:
        async with at_work(store) as scene:
            lane = Lane("cumulocity")
            for number in range(10):
                scene.put(lane, several(250, prefix=f"n{number}-"))
            await scene.admitter.stored(lane)
            assert max(scene.inbox.sizes) < ENOUGH_ROWS + 250
            assert sum(scene.inbox.sizes) == 2500

    run(story)


def test_bursts_of_a_channel_are_stored_in_order_whatever_fails_between(store: Store, path: Path) -> None:
    async def story() -> None:
        async with at_work(store, overdue_seconds=0.05) as scene:
            lane, other = Lane("cumulocity"), Lane("cumulocity")
            with WriterLock(str(path)):
                for number in range(20):
                    scene.put(lane, [notification(f"n{number}", source=f"s{number:02d}")], f"{number}")
                    scene.put(other, [notification(f"m{number}", source="other")], "other")
                    await asyncio.sleep(0.05)
                assert scene.committed == []
            await scene.admitter.stored(lane)
            await scene.admitter.stored(other)
            assert [name for name in scene.committed if name != "other"] == [f"{number}" for number in range(20)]

    run(story)
    assert [name for name in names(store) if name != "other"] == [f"s{number:02d}" for number in range(20)]


def test_a_duplicate_and_a_repetition_without_a_row_are_told_committed_as_well(store: Store) -> None:
    async def story() -> None:
        async with at_work(store) as scene:
            lane, told = Lane("cumulocity"), []
            scene.put(lane, several(2))
            repetition = replace(burst(lane, several(1), lambda: told.append("again")), frames=2, repetitions=1)
            scene.admitter.put(repetition)
            await scene.admitter.stored(lane)
            assert told == ["again"]
            assert scene.counts == {"new": 2, "duplicate": 2}

    run(story)


def test_a_channels_memory_is_stored_with_its_notifications(either: Store) -> None:
    async def story() -> None:
        async with at_work(either) as scene:
            lane = Lane("cumulocity")
            for value in (b"first", b"second"):
                fact = ChannelFact(ACME, "cold", "worker", value)
                scene.admitter.put(burst(lane, [notification(value.decode())], facts=[fact]))
            await scene.admitter.stored(lane)

    run(story)
    assert either.registry.channel_fact(ACME, "cold", "worker") == b"second"


def test_dead_letters_go_the_same_way(either: Store) -> None:
    async def story() -> None:
        async with at_work(either) as scene:
            lane = Lane("cumulocity")
            scene.admitter.put(burst(lane, (), letters=[letter()]))
            await scene.admitter.stored(lane)
            assert scene.counts == {"dead_letter": 1}

    run(story)
    assert either.reports.counts().dead_letters == 1


def test_what_can_never_be_stored_becomes_a_dead_letter_and_holds_up_nobody(either: Store) -> None:
    async def story() -> None:
        async with at_work(either) as scene:
            lane, other = Lane("cumulocity"), Lane("cumulocity")
            scene.put(lane, [notification("a"), notification("b", source="\ud800"), notification("c")], "lane")
            scene.put(other, several(1), "other")
            await scene.admitter.stored(lane)
            assert sorted(scene.committed) == ["lane", "other"]

    run(story)
    (row,) = either.reports.dead_letters(ACME, 10)
    assert row.letter.reason == "unstorable"
    assert either.reports.counts().pending == 3


@pytest.mark.parametrize("others", [0, 3])
def test_a_memory_too_large_to_be_stored_is_left_out_and_holds_up_nobody(
    either: Store, caplog: pytest.LogCaptureFixture, others: int
) -> None:
    async def story() -> None:
        async with at_work(either) as scene:
            lane, other, told = Lane("cumulocity"), Lane("cumulocity"), []
            large = ChannelFact(ACME, "cold", "worker", b"x" * (CHANNEL_FACT_BYTES + 1))
            first = burst(lane, several(others), lambda: told.append("lane"), letters=[letter()], facts=[large])
            scene.admitter.put(first)
            scene.put(other, several(1, prefix="other"), "other")
            await scene.admitter.stored(lane)
            await scene.admitter.stored(other)
            assert (told, scene.committed) == (["lane"], ["other"])
            assert lane.stored == others + 1

    run(story)
    assert either.registry.channel_fact(ACME, "cold", "worker") == b""
    assert (either.reports.counts().pending, either.reports.counts().dead_letters) == (others + 1, 1)
    assert caplog.text.count("what a channel remembers is left out") == 1


def test_a_dead_letter_that_can_never_be_stored_is_left_out_and_the_others_are_kept(
    either: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with at_work(either) as scene:
            lane = Lane("cumulocity")
            bad = replace(letter(), reason="\ud800")
            scene.admitter.put(burst(lane, several(2), letters=[bad, letter()]))
            await scene.admitter.stored(lane)
            assert scene.counts == {"new": 2, "dead_letter": 1}

    run(story)
    assert caplog.text.count("a dead letter is left out") == 1


def test_a_channel_with_a_full_window_waits_until_some_of_it_is_stored(store: Store, path: Path) -> None:
    async def story() -> None:
        async with at_work(store) as scene:
            lane, other = Lane("cumulocity"), Lane("cumulocity")
            with WriterLock(str(path)):
                scene.put(lane, several(WINDOW_FRAMES))
                assert scene.admitter.full(lane)
                assert not scene.admitter.full(other)
            await scene.admitter.room(lane)
            assert not scene.admitter.full(lane)

    run(story)


def test_all_channels_wait_while_together_they_hold_too_much(store: Store, path: Path) -> None:
    async def story() -> None:
        async with at_work(store, pending_bytes=100) as scene:
            lane, other = Lane("cumulocity"), Lane("cumulocity")
            with WriterLock(str(path)):
                scene.put(lane, several(1), size=100)
                assert scene.admitter.full(other)
            await scene.admitter.room(other)
            assert lane.frames == 0

    run(story)


def test_a_submission_whose_turn_does_not_come_is_made_again(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with at_work(store, overdue_seconds=0.05) as scene:
            lane, held, let_go = Lane("cumulocity"), threading.Event(), threading.Event()

            def hold() -> None:
                with WriterLock(str(path)):
                    held.set()
                    let_go.wait(DEADLINE_S)

            holding = asyncio.create_task(asyncio.to_thread(hold))
            await asyncio.to_thread(held.wait)
            store.inbox.submit(several(1, prefix="before"))  # the committer waits with this one in its hands
            scene.put(lane, several(3))
            while "waits for the store" not in caplog.text:
                await asyncio.sleep(0.01)
            assert scene.committed == []
            let_go.set()
            await scene.admitter.stored(lane)
            await holding
            assert len(scene.inbox.sizes) > 1

    run(story)
    assert store.reports.counts().pending == 4


def test_a_bug_in_the_store_holds_up_channels_only_until_it_is_tried_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with at_work(store, Buggy) as scene:
            lane, other = Lane("cumulocity"), Lane("cumulocity")
            scene.put(lane, several(2), "first")
            scene.put(other, several(1, prefix="other"), "second")
            await scene.admitter.stored(lane)
            await scene.admitter.stored(other)
            assert scene.committed == ["first", "second"]

    run(story)
    assert store.reports.counts().pending == 3
    told = [record for record in caplog.records if "which has a bug" in record.message]
    assert [vars(record)["reason"] for record in told] == ["TypeError", "KeyError"]
    assert "in submit" in told[0].message and PAYLOAD not in caplog.text


def test_a_channel_that_fails_when_it_is_told_makes_nobody_wait(store: Store) -> None:
    async def story() -> None:
        async with at_work(store) as scene:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            lanes = [Lane("cumulocity") for _ in range(3)]
            for number, lane in enumerate(lanes):
                scene.admitter.put(burst(lane, several(1, prefix=f"n{number}-"), lambda: 1 // 0 and None))
            for lane in lanes:
                await scene.admitter.stored(lane)
            assert not any(lane.frames for lane in lanes)

    run(story)
    assert store.reports.counts().pending == 3
