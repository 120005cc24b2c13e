"""Runs that a person asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from subscriber.errors import LockHeld, PlatformUnavailable
from subscriber.web.console import applying
from subscriber.web.console.applying import Applying, Plan
from tests.web.console.world import ACME, DEVICES, World

DEADLINE_S = 20.0


def failing(error: Exception) -> Any:
    @contextmanager
    def opened(*_: object) -> Iterator[Sequence[Any]]:
        raise error
        yield []

    return opened


def audited(world: World) -> str:
    """The detail of the only line there is, or will be."""
    until = time.monotonic() + DEADLINE_S
    while not world.actions():
        assert time.monotonic() < until
        time.sleep(0.01)
    return world.actions()[0][2]


def test_a_run_that_cannot_be_says_why_and_is_audited(world: World) -> None:
    runs = Applying(world.settings, world.store, failing(PlatformUnavailable("the gateway does not answer")))
    assert runs.start("ann", ACME) == "not done: the gateway does not answer"
    assert audited(world) == f"{ACME}: not done: the gateway does not answer"


def test_a_bug_is_logged_and_told_without_its_words(world: World, caplog: pytest.LogCaptureFixture) -> None:
    runs = Applying(world.settings, world.store, failing(RuntimeError("the secret is 42")))
    assert "a fault of this program" in runs.start("ann", None)
    assert "42" not in audited(world)
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


def test_a_platform_where_nothing_is_subscribed_is_not_applied(world: World) -> None:
    assert "nothing is subscribed there" in world.desk.applying.start("ann", DEVICES)


def test_a_long_run_goes_on_and_only_one_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "WAIT_SECONDS", 0.01)
    proceed = threading.Event()

    @contextmanager
    def slow(*_: object) -> Iterator[Sequence[Any]]:
        proceed.wait(DEADLINE_S)
        yield []

    runs = Applying(world.settings, world.store, slow)
    assert runs.start("ann", None) == ""
    with pytest.raises(LockHeld):
        runs.start("bob", None)
    proceed.set()
    assert "not done" in audited(world)


def test_a_plan_that_cannot_be_made_says_why(world: World) -> None:
    runs = Applying(world.settings, world.store, failing(PlatformUnavailable("no tunnel")))
    assert runs.plan(None) == Plan(problem="no tunnel")


def test_a_long_plan_is_cut_and_says_so(registered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "SHOWN_CHANGES", 2)
    plan = registered.desk.applying.plan(None)
    assert (len(plan.changes), plan.more) == (2, True)
    assert [change.subscription.tenant for change in registered.desk.applying.plan([ACME]).changes] == [ACME]
