"""When a round begins."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from emulator.processes import wait_until
from subscriber.errors import LockHeld, PlatformUnavailable
from subscriber.registration.rounds import BUSY_SECONDS, FIRST_RETRY_SECONDS, Rounds


class Work:
    """Counts rounds; ``result`` is what the next one ends with."""

    def __init__(self) -> None:
        self.rounds = 0
        self.result: bool | Exception = True
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> bool:
        self.rounds += 1
        self.go.wait(10)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def rounds(work: Work) -> Iterator[Rounds]:
    rounds = Rounds(work, 900.0, lambda: 0.5)
    yield rounds
    work.go.set()


def test_the_first_begins_at_the_start_and_the_next_by_the_schedule(rounds: Rounds, work: Work) -> None:
    rounds.start()
    wait_until("the first round", lambda: work.rounds == 1, 5)
    rounds.close()
    assert work.rounds == 1 and rounds.run_once() == 900.0


def test_one_that_is_asked_for_begins_soon_and_is_shared(rounds: Rounds, work: Work) -> None:
    rounds.start()
    wait_until("the first round", lambda: work.rounds == 1, 5)
    for _ in range(10):
        rounds.ask(0.05)
    wait_until("the second round", lambda: work.rounds == 2, 5)
    rounds.close()
    assert work.rounds == 2


def test_whoever_asks_during_a_round_gets_another(rounds: Rounds, work: Work) -> None:
    work.go.clear()
    rounds.start()
    wait_until("the first round", lambda: work.rounds == 1, 5)
    rounds.ask(0.0)
    work.go.set()
    wait_until("the second round", lambda: work.rounds == 2, 5)
    rounds.close()


@pytest.mark.parametrize("result", [False, PlatformUnavailable("gone"), ValueError("a bug")])
def test_a_round_that_fails_is_tried_again_later_each_time_but_not_later_than_the_schedule(
    rounds: Rounds, work: Work, result: bool | Exception
) -> None:
    work.result = result
    waits = [rounds.run_once() for _ in range(8)]
    assert waits[:3] == [FIRST_RETRY_SECONDS, 2 * FIRST_RETRY_SECONDS, 4 * FIRST_RETRY_SECONDS]
    assert waits[-1] == 900.0
    work.result = True
    rounds.run_once()
    work.result = result
    assert rounds.run_once() == FIRST_RETRY_SECONDS


def test_while_another_instance_runs_it_comes_again_soon(rounds: Rounds, work: Work) -> None:
    work.result = LockHeld("another")
    assert [rounds.run_once() for _ in range(3)] == [BUSY_SECONDS] * 3


def test_instances_drift_apart(work: Work) -> None:
    assert Rounds(work, 900.0, lambda: 0.0).run_once() < 900.0 < Rounds(work, 900.0, lambda: 0.99).run_once()
