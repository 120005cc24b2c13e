"""One held connect."""

from __future__ import annotations

import asyncio

from emulator.cumulocity.realtime.poll import Ending, Poll


def poll(**more: bool) -> Poll:
    return Poll(0, 600, 5400, **more)


def test_spaces_come_before_the_end_and_the_first_reason_stands() -> None:
    async def run() -> tuple[list[int], Ending | None]:
        held = poll()
        held.beat(1200)
        held.beat(1800)
        held.end(Ending.NEWS)
        held.end(Ending.SUPERSEDED)
        return [await held.next(), await held.next()], held.ending

    assert asyncio.run(run()) == ([2, 0], Ending.NEWS)


def test_who_waits_is_woken() -> None:
    async def run() -> int:
        held = poll()
        waiting = asyncio.create_task(held.next())
        await asyncio.sleep(0)
        held.beat(1200)
        return await waiting

    assert asyncio.run(run()) == 1


def test_a_mute_one_says_nothing_of_its_own() -> None:
    async def run() -> Ending | None:
        held = poll(mute=True)
        held.beat(1200)
        held.end(Ending.NEWS)
        held.end(Ending.TIMEOUT)
        assert held.ending is None
        held.end(Ending.SUPERSEDED)
        return held.ending if not await held.next() else None

    assert asyncio.run(run()) is Ending.SUPERSEDED


def test_some_endings_are_silent() -> None:
    assert [ending for ending in Ending if ending.silent] == [Ending.SUPERSEDED, Ending.CLOSED, Ending.RESTART]
