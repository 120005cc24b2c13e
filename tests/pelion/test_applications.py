"""Single changes at the platform; whole runs show what follows from them."""

from __future__ import annotations

import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.pelion.plan import of_channel, of_resource, of_rules
from subscriber.platforms.pelion.rules import Presubscription
from subscriber.registration.plan import Keep, Subscribe, Unsubscribe
from tests.pelion.conftest import DEVICE, OTHERS, PATH, MakeOffice, World

LIGHTS = Presubscription(endpoint_type="Light")


def test_what_is_kept_is_not_asked_for(office_with: MakeOffice, world: World) -> None:
    applications = office_with().applications
    assert applications.perform(Keep(of_channel("cellar", "websocket")), None) is False
    assert world.kind() is None


def test_everything_may_be_done_twice(office_with: MakeOffice, world: World) -> None:
    applications = office_with().applications
    world.ask("PUT", "/v2/subscriptions", [OTHERS])
    changes = [of_rules("cellar", [LIGHTS]), of_resource("cellar", DEVICE, PATH)]
    for _ in range(2):
        for subscription in changes:
            assert applications.perform(Subscribe(subscription, "new"), None) is False
    assert (world.rules(), world.observed()) == ([OTHERS, {"endpoint-type": "Light"}], [PATH])
    for _ in range(2):
        for subscription in changes:
            applications.perform(Unsubscribe(subscription, "asked"), None)
        applications.perform(Unsubscribe(of_channel("cellar", "callback"), "asked"), None)
    assert (world.rules(), world.observed()) == ([OTHERS], [])


def test_a_device_that_is_away_is_told_at_once_and_a_platform_that_fails_as_such(
    office_with: MakeOffice, world: World
) -> None:
    applications = office_with().applications
    change = Subscribe(of_resource("cellar", DEVICE, PATH), "new")
    world.act("sleep")
    with pytest.raises(PlatformRefused) as refused:
        applications.perform(change, None)
    assert refused.value.reason == "device_away"
    world.emulator.control("/fault", {"name": "api-5xx"})
    with pytest.raises(PlatformUnavailable):
        applications.perform(change, None)


def test_a_websocket_that_stands_is_read_without_registering(office_with: MakeOffice, world: World) -> None:
    applications = office_with().applications
    assert (applications.websocket("cellar"), world.kind()) == (None, None)
    world.ask("PUT", "/v2/notification/websocket")
    found = applications.websocket("cellar")
    assert found is not None and not found.complete
