"""Time is played moment by moment, also when it leaps."""

from __future__ import annotations

import asyncio

from emulator.clock import Clock
from emulator.timekeeper import Timekeeper


class Bell:
    """A player that wants to ring at certain moments, and notes when it did."""

    def __init__(self, clock: Clock, *moments: float) -> None:
        self._clock = clock
        self._moments = sorted(moments)
        self.rung: list[float] = []
        self.settled = 0

    def next_moment(self) -> float | None:
        return self._moments[0] if self._moments else None

    next_leap = next_moment

    def play(self) -> None:
        while self._moments and self._moments[0] <= self._clock.now():
            self._moments.pop(0)
            self.rung.append(self._clock.now())

    async def settle(self) -> None:
        self.settled += 1


def test_an_advance_stops_at_each_moment_and_ends_on_time(still: Clock) -> None:
    start = still.now()
    bell = Bell(still, start + 10, start + 20.5, start + 500)
    now = asyncio.run(Timekeeper(still, [bell]).advance(100))
    assert bell.rung == [start + 10, start + 20.5]
    assert now == still.now() == start + 100
    assert bell.settled == 4  # before, at both moments, at the end


def test_moments_within_a_second_share_a_stop(still: Clock) -> None:
    start = still.now()
    bell = Bell(still, *(start + 10 + number / 1000 for number in range(500)))
    asyncio.run(Timekeeper(still, [bell]).advance(100))
    assert set(bell.rung) == {start + 10, start + 11}


def test_moments_within_a_longer_step_share_a_stop_if_told_so(still: Clock) -> None:
    start = still.now()
    bell = Bell(still, start + 10, start + 70, start + 500)
    asyncio.run(Timekeeper(still, [bell]).advance(600, step_s=100))
    assert bell.rung == [start + 100, start + 100, start + 500]


def test_two_advances_add_up(still: Clock) -> None:
    start = still.now()
    keeper = Timekeeper(still, [])

    async def both() -> None:
        await asyncio.gather(keeper.advance(10), keeper.advance(5))

    asyncio.run(both())
    assert still.now() == start + 15


def test_as_time_passes_the_players_act_by_themselves() -> None:
    clock = Clock(1000)
    bell = Bell(clock, clock.now() + 20, clock.now() + 40)

    async def until_rung() -> None:
        running = asyncio.create_task(Timekeeper(clock, [bell]).run())
        async with asyncio.timeout(5):
            while len(bell.rung) < 2:
                await asyncio.sleep(0.005)
        running.cancel()

    asyncio.run(until_rung())


def test_a_nudge_wakes_a_standing_clock(still: Clock) -> None:
    bell = Bell(still)

    async def nudged() -> None:
        keeper = Timekeeper(still, [bell])
        running = asyncio.create_task(keeper.run())
        await asyncio.sleep(0)
        bell._moments.append(still.now())
        keeper.nudge()
        async with asyncio.timeout(5):
            while not bell.rung:
                await asyncio.sleep(0.005)
        running.cancel()

    asyncio.run(nudged())


class Stuck(Bell):
    """It cannot do what is due."""

    turns = 0

    def play(self) -> None:
        self.turns += 1


def test_what_stays_due_is_tried_again_without_spinning() -> None:
    clock = Clock(1)
    stuck = Stuck(clock, clock.now() - 10)

    async def for_a_while() -> None:
        running = asyncio.create_task(Timekeeper(clock, [stuck]).run())
        await asyncio.sleep(0.1)
        running.cancel()

    asyncio.run(for_a_while())
    assert 2 <= stuck.turns <= 20
