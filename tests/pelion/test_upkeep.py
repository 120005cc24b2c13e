"""What a worker does by itself: a removed channel comes back, and a device that registered anew is observed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from subscriber.errors import LockHeld
from subscriber.pelion import Office
from subscriber.pelion.upkeep import Upkeep
from subscriber.settings import PelionChannel, Settings
from subscriber.store import Store
from tests.emulator.running import wait_for
from tests.pelion.conftest import CELLAR, DEVICE, PATH, RULE, MakeOffice, World
from tests.store.making import Clock, notification

RESOURCES = {"subscriptions": [{"ep": DEVICE, "paths": [PATH]}]}


def channels(world: World) -> tuple[PelionChannel, ...]:
    settings = Settings.from_environ(world.environ(world.channel(presubscriptions=[RULE], **RESOURCES))).pelion
    assert settings is not None
    return settings.channels


def upkeep_of(world: World, office: Office, store: Store, *, seconds: float = 3600.0) -> Upkeep:
    return Upkeep(
        channels(world),
        office.registrar,
        store.reports,
        jitter=lambda: 0.0,
        look_seconds=seconds,
        notice_seconds=0.02,
    )


def office_of(world: World, office_with: MakeOffice) -> Office:
    return office_with(world.channel(presubscriptions=[RULE], **RESOURCES))


@contextmanager
def kept(upkeep: Upkeep) -> Iterator[None]:
    with upkeep.running():
        yield


def test_a_worker_brings_everything_in_order_at_its_start_and_a_removed_channel_back_soon(
    office_with: MakeOffice, world: World, store: Store
) -> None:
    with kept(upkeep_of(world, office_of(world, office_with), store, seconds=0.05)):
        wait_for(lambda: world.observed() == [PATH])
        assert (world.kind(), world.rules()) == ("WEB_SOCKET", [RULE])
        world.ask("DELETE", "/v2/notification/websocket")
        wait_for(lambda: world.kind() == "WEB_SOCKET")
        wait_for(lambda: [gap.tenant for gap in store.registry.gaps()] == [CELLAR])


def test_the_first_round_asks_about_everything_and_later_ones_only_when_due(
    office_with: MakeOffice, world: World, store: Store, clock: Clock
) -> None:
    office = office_of(world, office_with)
    office.registrar.run()
    upkeep = upkeep_of(world, office, store)
    world.ask("DELETE", f"/v2/subscriptions/{DEVICE}")
    assert upkeep.round() and world.observed() == [PATH]
    world.ask("DELETE", f"/v2/subscriptions/{DEVICE}")
    assert upkeep.round() and world.observed() == []
    upkeep.made_anew(CELLAR)
    assert upkeep.round() and world.observed() == [PATH]


def test_a_device_that_registers_anew_is_observed_again_once_its_registration_is_in(
    office_with: MakeOffice, world: World, store: Store
) -> None:
    office = office_of(world, office_with)
    office.registrar.run()
    upkeep = upkeep_of(world, office, store)
    upkeep.notice()
    world.act("register")
    upkeep.notice()
    assert world.observed() == []
    for ep in ("somebody", DEVICE):
        store.inbox.add([notification(ep, tenant=CELLAR, topic="registrations", source=ep)])
    upkeep.notice()
    assert world.observed() == [PATH]


def test_noticing_goes_on_beside_rounds(office_with: MakeOffice, world: World, store: Store) -> None:
    office = office_of(world, office_with)
    with kept(upkeep_of(world, office, store)):
        wait_for(lambda: world.observed() == [PATH])
        world.act("register")

        def observed_again() -> bool:
            store.inbox.add([notification(str(next(names)), tenant=CELLAR, topic="registrations", source=DEVICE)])
            return world.observed() == [PATH]

        names = iter(range(10_000))
        wait_for(observed_again)


def test_what_a_round_could_not_ask_is_asked_by_the_next(office_with: MakeOffice, world: World, store: Store) -> None:
    office = office_of(world, office_with)
    upkeep = upkeep_of(world, office, store)
    store.registry.acquire("registration:pelion", "another", 60)
    with pytest.raises(LockHeld):
        upkeep.round()
    store.registry.release("registration:pelion", "another")
    assert upkeep.round() and world.observed() == [PATH]
