"""Limits that hold whatever the pace of the emulator's clock."""

from __future__ import annotations

import asyncio

from emulator.clock import Clock
from emulator.pelion.patience import Limit, settled
from tests.emulator.conftest import Wall


def test_a_limit_needs_the_clock_and_real_time(still: Clock) -> None:
    impatient, patient = Limit.after(still, 20, 0), Limit.after(still, 20, 10)
    assert not impatient.passed(still)
    still.advance_to(still.now() + 20)
    assert impatient.passed(still) and not patient.passed(still)


def test_a_standing_clock_never_gets_there(still: Clock, wall: Wall) -> None:
    assert Limit.after(still, 20, 1).real_seconds(still) is None
    fast = Clock(1000, wall=wall)
    remaining = Limit.after(fast, 20, 1).real_seconds(fast)
    assert remaining is not None and 0.9 < remaining <= 1


def test_settling_waits_for_patience_and_no_longer(still: Clock) -> None:
    async def scene() -> list[bool]:
        loop = asyncio.get_running_loop()
        never, soon = loop.create_future(), loop.create_future()
        loop.call_soon(soon.set_result, None)
        limit = Limit.after(still, 20, 0.05)
        found = [await settled([(never, limit), (soon, limit)])]
        found.append(await settled([(never, limit)]))  # until its patience is over
        found.append(await settled([(never, limit)]))
        return [*found, await settled([(soon, limit)])]

    assert asyncio.run(scene()) == [True, True, False, False]
