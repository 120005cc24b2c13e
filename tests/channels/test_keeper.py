"""Which channels run, and when they are tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle

import pytest

from subscriber.channels import Place
from subscriber.channels.board import CONNECTED, HALTED, STOPPED, WAITING, Board
from subscriber.channels.keeper import Keeper
from subscriber.channels.ownership import Ownership
from subscriber.errors import PlatformRefused, PlatformUnavailable, StoreBusy, SubscriberError
from subscriber.model import Tenant
from subscriber.services import utc_now
from subscriber.store import Store
from tests.channels.working import Counted

DEADLINE_S = 20.0


@dataclass(frozen=True)
class Wire:
    """A source of the platform `tin`."""

    name: str
    wiring: Hashable = 0
    password: str = ""
    exclusive: bool = False

    @property
    def place(self) -> Place:
        return Place(Tenant("tin", "acme"), self.name, "")


class Line:
    """A channel that stands until it is broken, and fails as often as it is told to."""

    def __init__(self, wire: Wire, scene: Scene) -> None:
        self.wire = wire
        self._scene = scene

    async def run(self, connected: Callable[[], None]) -> None:
        self._scene.attempts.append(self.wire.name)
        if self._scene.failures:
            raise self._scene.failures.pop(0)
        connected()
        broken = self._scene.standing[self.wire.name] = asyncio.Event()
        self._scene.passwords[self.wire.name] = self.wire.password
        try:
            await broken.wait()
            raise PlatformUnavailable("the connection broke", reason="broken")
        finally:
            del self._scene.standing[self.wire.name]

    @property
    def stored(self) -> int:
        return self._scene.stored

    def renew(self, source: Wire) -> None:
        self.wire = source


class Scene:
    """A keeper at work on what ``wanted`` says."""

    def __init__(
        self,
        store: Store,
        *wanted: Wire,
        lock_seconds: float = 20.0,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.wanted: Collection[Wire] | SubscriberError = wanted
        self.failures: list[Exception] = []
        self.attempts: list[str] = []
        self.stored = 0
        self.standing: dict[str, asyncio.Event] = {}
        self.passwords: dict[str, str] = {}
        self.counted = Counted()
        self.board = Board(store.registry, utc_now)
        self.keeper = Keeper(
            self._desired,
            lambda wire: Line(wire, self),
            Ownership(store.registry, "tin", lock_seconds=lock_seconds),
            self.board,
            self.counted,
            jitter=jitter,
            look_seconds=0.02,
        )

    def _desired(self) -> Collection[Wire]:
        if isinstance(self.wanted, SubscriberError):
            raise self.wanted
        return self.wanted

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def at_work(scene: Scene) -> AsyncIterator[Scene]:
    keeping = asyncio.create_task(scene.keeper.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield scene
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def run(story: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(story())


def test_what_is_wanted_runs_and_what_is_not_any_more_stops(store: Store) -> None:
    async def story() -> None:
        async with at_work(Scene(store, Wire("a"), Wire("b"))) as scene:
            await scene.until(lambda: set(scene.standing) == {"a", "b"})
            scene.wanted = [Wire("b"), Wire("c")]
            await scene.until(lambda: set(scene.standing) == {"b", "c"})
            assert scene.attempts.count("b") == 1

    run(story)


def test_a_lost_channel_is_connected_again(store: Store) -> None:
    async def story() -> None:
        async with at_work(Scene(store, Wire("a"))) as scene:
            await scene.until(lambda: scene.standing)
            scene.standing["a"].set()
            await scene.until(lambda: len(scene.attempts) == 2 and scene.standing)
            assert scene.counted.losses == ["broken"]

    run(story)


def test_connections_that_end_soon_are_made_again_soon_as_long_as_they_bring_frames(store: Store) -> None:
    async def story() -> None:
        async with at_work(Scene(store, Wire("a"), jitter=lambda: 0.1)) as scene:
            for _ in range(20):  # with growing delays this would take a minute
                await scene.until(lambda: scene.standing)
                scene.stored += 1
                scene.standing["a"].set()
                await scene.until(lambda: not scene.standing)

    run(story)


def test_new_credentials_are_for_the_next_connection_and_another_wiring_for_now(store: Store) -> None:
    async def story() -> None:
        async with at_work(Scene(store, Wire("a", password="old"))) as scene:
            await scene.until(lambda: scene.standing)
            scene.wanted = [Wire("a", password="new")]
            await asyncio.sleep(0.1)  # some looks
            assert len(scene.attempts) == 1
            scene.standing["a"].set()
            await scene.until(lambda: scene.passwords["a"] == "new")
            scene.wanted = [Wire("a", wiring=1, password="other")]
            await scene.until(lambda: scene.passwords["a"] == "other")

    run(story)


def test_what_runs_goes_on_while_what_is_wanted_cannot_be_told(store: Store) -> None:
    async def story() -> None:
        async with at_work(Scene(store, Wire("a"))) as scene:
            await scene.until(lambda: scene.standing)
            scene.wanted = StoreBusy()
            await asyncio.sleep(0.1)  # some looks
            assert scene.standing

    run(story)


def test_exclusive_channels_run_in_one_instance_and_go_to_another_when_it_stops(store: Store) -> None:
    async def story() -> None:
        wires = Wire("only", exclusive=True), Wire("each")
        async with at_work(Scene(store, *wires)) as first:
            await first.until(lambda: len(first.standing) == 2)
            second = Scene(store, *wires)
            keeping = asyncio.create_task(second.keeper.run())
            await second.until(lambda: second.standing)
            assert set(second.standing) == {"each"}
        async with asyncio.timeout(DEADLINE_S):
            await second.until(lambda: len(second.standing) == 2)
        keeping.cancel()
        await asyncio.wait({keeping})

    run(story)


def test_an_instance_that_lost_the_lock_stops_its_exclusive_channels(store: Store) -> None:
    async def story() -> None:
        scene = Scene(store, Wire("only", exclusive=True), lock_seconds=0.0)  # over at once: another may take it
        async with at_work(scene):
            await scene.until(lambda: scene.standing)
            assert store.registry.acquire("channels:tin", "another", 20.0) is not None
            await scene.until(lambda: not scene.standing)

    run(story)


def test_a_bug_in_one_channel_is_told_and_stops_neither_it_nor_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        scene = Scene(store, Wire("a"), Wire("b"))
        scene.failures = [ZeroDivisionError()]
        async with at_work(scene):
            await scene.until(lambda: len(scene.standing) == 2)
            assert scene.counted.losses == ["bug"]

    run(story)
    assert "a channel failed" in caplog.text


def test_an_outage_is_told_once_not_at_every_attempt(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def story() -> None:
        scene = Scene(store, Wire("a"))
        scene.failures = [PlatformUnavailable("cannot reach acme", reason="unreachable") for _ in range(5)]
        async with at_work(scene):
            await scene.until(lambda: scene.standing)

    run(story)
    assert caplog.text.count("cannot reach acme") == 1


def test_operators_see_the_state_of_each_channel_and_that_its_worker_has_stopped(store: Store) -> None:
    async def story() -> None:
        scene = Scene(store, Wire("a"), Wire("b"))
        async with at_work(scene):
            await scene.until(lambda: len(scene.standing) == 2)
            assert scene.board.counts() == {("tin", "connecting"): 0, ("tin", CONNECTED): 2}
            scene.failures = [PlatformUnavailable("no", reason="unreachable") for _ in range(10_000)]
            scene.standing["a"].set()
            await scene.until(lambda: scene.board.counts().get(("tin", WAITING)))

    run(story)
    rows = store.registry.channels("tin")
    assert [(row.state, row.detail) for row in rows] == [(WAITING, STOPPED)] * 2


def test_many_channels_do_not_start_at_the_same_moment(store: Store) -> None:
    async def story() -> None:
        spread = cycle(number / 100 for number in range(100))
        scene = Scene(store, *(Wire(f"n{number}") for number in range(100)), jitter=lambda: next(spread))
        async with at_work(scene):
            await scene.until(lambda: scene.standing)
            assert len(scene.attempts) < 100
            await scene.until(lambda: len(scene.standing) == 100)

    run(story)


def test_a_channel_that_needs_a_person_is_shown_as_stopped_until_it_stands(store: Store) -> None:
    async def story() -> None:
        scene = Scene(store, Wire("a"))
        scene.failures = [PlatformRefused("do not reconnect", reason="stopped", upstream_status=200)]
        states: set[str] = set()

        def seen() -> bool:
            states.update(state for (_, state), count in scene.board.counts().items() if count)
            return bool(scene.standing)

        async with at_work(scene):
            await scene.until(seen)
        assert HALTED in states

    run(story)
