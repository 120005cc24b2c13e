"""What one process may hold."""

from __future__ import annotations

from subscriber.web.server.limits import InFlight, Slots


def test_bytes_are_taken_up_to_the_limit_and_no_further() -> None:
    in_flight = InFlight(100)
    assert in_flight.take(60)
    assert not in_flight.take(41)
    assert in_flight.held == 60
    assert in_flight.take(40)


def test_bytes_given_back_can_be_taken_again() -> None:
    in_flight = InFlight(100)
    in_flight.take(100)
    in_flight.give(30)
    assert in_flight.take(30)
    assert not in_flight.take(1)


def test_slots_are_refused_when_all_are_taken_and_return_when_given() -> None:
    slots = Slots(2)
    assert [slots.take() for _ in range(3)] == [True, True, False]
    slots.give()
    assert slots.take()
