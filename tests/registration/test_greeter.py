"""The team learns who came and who went: at least once, again when its hook fails, and never twice without cause."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from emulator.processes import wait_until
from subscriber.model import Tenant
from subscriber.registration.greeter import FIRST_RETRY_SECONDS, LOCK, LOOK_SECONDS, Greeter
from subscriber.store import Fence, RosterUpdate, Store
from tests.registration.conftest import CUSTAA, CUSTBB
from tests.store.making import START

Told = list[tuple[str, bool]]


class Team:
    """A hook that fails for some tenants."""

    def __init__(self) -> None:
        self.told: Told = []
        self.failing: set[str] = set()

    def __call__(self, tenant: Tenant, joined: bool) -> None:
        self.told.append((tenant.name, joined))
        if tenant.name in self.failing:
            raise RuntimeError("secret text")


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def greeter(store: Store, team: Team, now: list[float]) -> Greeter:
    return Greeter(store.registry, team, lambda: 1.0, lambda: now[0])


def leave(store: Store, *tenants: Tenant) -> None:
    number = store.registry.acquire("registration", "test", 60)
    assert number is not None
    fence = Fence(name="registration", holder="test", number=number)
    store.registry.update_roster("mindsphere", RosterUpdate(leaving=tenants), fence)


def join(store: Store, *tenants: Tenant) -> None:
    for tenant in tenants:
        store.registry.hear(tenant, START, True)


def test_each_who_came_is_told_once(greeter: Greeter, store: Store, team: Team) -> None:
    join(store, CUSTAA, CUSTBB)
    assert greeter.tell() == LOOK_SECONDS
    greeter.tell()
    assert team.told == [("custaa", True), ("custbb", True)]


def test_who_went_is_told_and_who_came_back(greeter: Greeter, store: Store, team: Team) -> None:
    join(store, CUSTAA)
    greeter.tell()
    leave(store, CUSTAA)
    greeter.tell()
    store.registry.hear(CUSTAA, START + timedelta(hours=1), True)
    greeter.tell()
    assert team.told == [("custaa", True), ("custaa", False), ("custaa", True)]


def test_who_came_and_went_before_anybody_was_told_is_not_mentioned(
    greeter: Greeter, store: Store, team: Team
) -> None:
    join(store, CUSTAA)
    leave(store, CUSTAA)
    greeter.tell()
    assert team.told == []


def test_a_hook_that_raises_is_called_again_later_and_delays_nobody_else(
    greeter: Greeter, store: Store, team: Team, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    team.failing = {"custaa"}
    join(store, CUSTAA, CUSTBB)
    assert greeter.tell() == FIRST_RETRY_SECONDS
    assert team.told == [("custaa", True), ("custbb", True)]
    greeter.tell()
    assert len(team.told) == 2
    now[0] += FIRST_RETRY_SECONDS
    assert greeter.tell() == 2 * FIRST_RETRY_SECONDS
    team.failing.clear()
    now[0] += 2 * FIRST_RETRY_SECONDS
    greeter.tell()
    assert team.told[2:] == [("custaa", True)] * 2
    assert "secret" not in caplog.text


def test_another_process_goes_on_where_this_one_ended(make: Callable[[], Greeter], store: Store, team: Team) -> None:
    team.failing = {"custaa"}
    join(store, CUSTAA, CUSTBB)
    make().tell()
    team.failing.clear()
    make().tell()
    assert team.told == [("custaa", True), ("custbb", True), ("custaa", True)]


@pytest.fixture
def make(store: Store, team: Team) -> Callable[[], Greeter]:
    return lambda: Greeter(store.registry, team, lambda: 1.0)


def test_one_instance_at_a_time_tells(greeter: Greeter, store: Store, team: Team) -> None:
    join(store, CUSTAA)
    store.registry.acquire(LOCK, "another", 60)
    greeter.tell()
    assert team.told == []


def test_woken_it_tells_at_once(make: Callable[[], Greeter], store: Store, team: Team) -> None:
    greeter = make()
    greeter.start()
    join(store, CUSTAA)
    greeter.wake()
    wait_until("the hook", lambda: team.told == [("custaa", True)], 5)
    greeter.close()
