"""Runs that a person asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from subscriber.errors import LockHeld, PlatformUnavailable, StoreBusy
from subscriber.model import Tenant
from subscriber.registrars import open_registrars
from subscriber.web.console import applying
from subscriber.web.console.applying import CHANGED, Applying
from tests.web.console.everywhere import T123, T124, Everywhere, failing
from tests.web.console.world import ACME, DEVICES, OTHER, World

DEADLINE_S = 20.0
T999 = Tenant("cumulocity", "t999")  # of whom no list knows


def audited(world: World) -> str:
    """The detail of ann's only line, that is there or will be."""
    until = time.monotonic() + DEADLINE_S
    while not (lines := [detail for actor, _, detail in world.actions() if actor == "ann"]):
        assert time.monotonic() < until
        time.sleep(0.01)
    return lines[0]


def test_a_run_that_cannot_be_says_why_and_is_audited(world: World) -> None:
    runs = Applying(world.settings, world.store, failing(StoreBusy("the writer is busy")))
    assert runs.start("ann", ACME, {}).told == "not done: the writer is busy"
    assert audited(world) == f"{ACME}: not done: the writer is busy"


def test_a_bug_is_logged_and_told_without_its_words(world: World, caplog: pytest.LogCaptureFixture) -> None:
    runs = Applying(world.settings, world.store, failing(RuntimeError("the secret is 42")))
    assert "a fault of this program" in runs.start("ann", None, {}).told
    assert "42" not in audited(world)
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


def test_a_platform_where_nothing_is_subscribed_is_not_applied(world: World) -> None:
    assert "nothing is subscribed there" in world.desk.applying.start("ann", DEVICES, {}).told


def test_nothing_is_made_in_the_name_of_a_tenant_that_is_not_served(everywhere: Everywhere) -> None:
    stranger = Tenant("pelion", "attic")
    with everywhere.console(**everywhere.environ()) as world:
        told = [world.desk.applying.start("ann", one, {}).told for one in (OTHER, stranger, T999)]
    assert "1 failed" not in told[0] and told[0].startswith("mindsphere: 2 done")
    assert told[1:] == [
        f"{one.platform}: not done: the application is not provisioned to {one}" for one in (stranger, T999)
    ]


def test_a_platform_that_is_away_stops_no_other(everywhere: Everywhere) -> None:
    away = {**everywhere.environ(), "C8Y_BASEURL": "http://127.0.0.1:1", "C8Y_REALTIME": ""}
    with everywhere.console(**away) as world:
        told = world.desk.applying.start("ann", None, {}).told
    assert "cumulocity: not done: " in told and "pelion: 2 done, 0 failed" in told


def test_a_run_waits_for_a_worker_that_is_at_the_same_but_not_for_ever(
    registered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registered.store.registry
    registry.acquire("registration", "a worker", 60)
    monkeypatch.setattr(applying, "TURN_SECONDS", 0.0)
    assert "mindsphere: not done: " in registered.desk.applying.start("bob", None, {}).told
    monkeypatch.setattr(applying, "TURN_SECONDS", DEADLINE_S)
    monkeypatch.setattr(applying, "WAIT_SECONDS", 0.01)
    assert registered.desk.applying.start("ann", None, {}).told == ""
    registry.release("registration", "a worker")
    assert "mindsphere: 7 done, 0 failed" in audited(registered)


def test_nothing_is_done_anywhere_where_the_plan_is_not_what_was_shown(registered: World) -> None:
    run = registered.desk.applying.start("ann", None, {"mindsphere": "0" * 31 + "1"})
    assert (run.changed, run.told) == (True, CHANGED)
    assert audited(registered) == f"every tenant: {CHANGED}"
    assert registered.platform.calls == []


def test_a_plan_that_changes_while_another_platform_is_brought_in_order_is_left_alone(everywhere: Everywhere) -> None:
    """The other platform's run is made to take so long."""

    @contextmanager
    def opened(*given: Any, of: Sequence[str], **more: Any) -> Iterator[Sequence[Any]]:
        if list(of) == ["mindsphere"]:
            everywhere.rewrite(T124, ["measurements"])
        with open_registrars(*given, of=of, **more) as registrars:
            yield registrars

    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
        everywhere.rewrite(T123, ["events"])
        shown = {plan.platform: plan.seen for plan in world.desk.planning.asked(None)}
        told = Applying(world.settings, world.store, opened).start("ann", None, shown).told
    assert f"cumulocity: {CHANGED}; smartrest: " in told
    assert everywhere.filters(T124) == [{"apis": ["measurements"]}]


def test_a_plan_of_a_platform_that_is_off_by_now_is_not_what_was_shown(registered: World) -> None:
    assert registered.desk.applying.start("ann", None, {"pelion": "0" * 32}).changed


def test_a_long_run_goes_on_and_only_one_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "WAIT_SECONDS", 0.01)
    proceed = threading.Event()

    @contextmanager
    def slow(*_: object, **__: object) -> Iterator[Sequence[Any]]:
        proceed.wait(DEADLINE_S)
        raise PlatformUnavailable("it went away")
        yield []

    runs = Applying(world.settings, world.store, slow)
    assert runs.start("ann", None, {}).told == ""
    with pytest.raises(LockHeld):
        runs.start("bob", None, {})
    proceed.set()
    assert "not done: it went away" in audited(world)
