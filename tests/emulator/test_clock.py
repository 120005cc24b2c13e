"""The emulator's time never runs backwards, however it runs."""

from __future__ import annotations

from emulator.clock import Anchor, Clock
from tests.emulator.conftest import Wall


def test_real_time_follows_the_wall(wall: Wall) -> None:
    clock = Clock(1, wall=wall)
    wall.now += 5
    assert clock.now() == wall.now
    assert clock.real_seconds_until(wall.now + 3) == 3


def test_scaled_time_runs_faster(wall: Wall) -> None:
    clock = Clock(1000, wall=wall)
    start = clock.now()
    wall.now += 2
    assert clock.now() == start + 2000
    assert clock.real_seconds_until(start + 3000) == 1


def test_virtual_time_stands_until_advanced(wall: Wall) -> None:
    clock = Clock(0, wall=wall)
    start = clock.now()
    wall.now += 100
    assert clock.now() == start and clock.still
    assert clock.real_seconds_until(start + 1) is None
    clock.advance_to(start + 50)
    assert clock.now() == start + 50
    assert clock.real_seconds_until(start + 50) == 0


def test_an_advance_never_goes_back(wall: Wall) -> None:
    clock = Clock(1, wall=wall)
    start = clock.now()
    clock.advance_to(start - 10)
    assert clock.now() == start


def test_a_restart_continues_where_time_was(wall: Wall) -> None:
    kept: list[Anchor] = []
    first = Clock(1, wall=wall, on_change=kept.append)
    first.advance_to(first.now() + 1000)
    wall.now += 7
    assert Clock(1, resume=kept[-1], wall=wall).now() == first.now()


def test_a_restart_may_change_the_pace(wall: Wall) -> None:
    kept: list[Anchor] = []
    virtual = Clock(0, wall=wall, on_change=kept.append)
    start = virtual.now()
    wall.now += 60
    real = Clock(1, resume=kept[-1], wall=wall)
    assert real.now() == start
    wall.now += 1
    assert real.now() == start + 1
