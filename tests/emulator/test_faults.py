"""What goes wrong is planned: by seed, by name, for a time."""

from __future__ import annotations

import pytest

from emulator.clock import Clock
from emulator.faults import NAMES, Chance, Faults
from emulator.journal import Journal


def test_the_same_seed_makes_the_same_plan() -> None:
    """C11: faults are seeded."""
    plan = [Chance(3).draw("duplicate", number) for number in range(100)]
    assert plan == [Chance(3).draw("duplicate", number) for number in range(100)]
    assert plan != [Chance(4).draw("duplicate", number) for number in range(100)]
    assert all(0 <= draw < 1 for draw in plan)


def test_chances_do_not_depend_on_the_order_of_questions() -> None:
    chance = Chance(3)
    forwards = {number: chance.draw("cut", number) for number in range(20)}
    backwards = {number: chance.draw("cut", number) for number in reversed(range(20))}
    assert forwards == backwards


def test_a_fault_strikes_its_share(faults: Faults) -> None:
    faults.declare("cut", 0.2, None)
    struck = sum(faults.strikes("cut", number) for number in range(2000))
    assert 320 < struck < 480


def test_questions_without_a_name_are_numbered(faults: Faults) -> None:
    faults.declare("api-429", 0.5, None)
    assert len({faults.strikes("api-429") for _ in range(50)}) == 2


def test_a_fault_ends_by_the_emulators_clock(faults: Faults, still: Clock) -> None:
    faults.declare("slow", 1.0, 10)
    assert faults.strikes("slow")
    still.advance_to(still.now() + 10)
    assert not faults.strikes("slow")
    assert faults.active() == []


def test_clearing_ends_all(faults: Faults) -> None:
    for name in NAMES:
        faults.declare(name, 1.0, None)
    assert len(faults.active()) == len(NAMES)
    faults.clear()
    assert faults.active() == [] and faults.outage() is None


def test_an_outage_is_remembered_when_it_is_over(faults: Faults, still: Clock) -> None:
    declared = faults.declare("outage", 1.0, 60)
    still.advance_to(still.now() + 100)
    assert faults.outage() == declared and not declared.active(still.now())


@pytest.mark.parametrize("seconds", [None, 60])
def test_declared_faults_survive_a_restart(
    faults: Faults, journal: Journal, still: Clock, seconds: float | None
) -> None:
    faults.declare("keys-down", 0.5, seconds)
    assert Faults(journal, still, Chance(7)).active() == faults.active()
