"""Control verbs of real-time sessions."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import X_ID, Device
from tests.emulator.cumulocity.running import Tenant

SESSIONS = "/cumulocity/sessions"


def test_sessions_are_shown(device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    device.held()
    assert device.session() == {
        "id": device.client_id,
        "tenant": "t123",
        "user": "admin",
        "endpoint": "realtime",
        "x_id": X_ID,
        "reliable": False,
        "channels": {"/alarms/*": []},
        "waiting": 0,
        "unconfirmed": 0,
        "held": True,
        "connects": 2,
    }


@pytest.mark.parametrize("how", ["cut", "empty"])
def test_a_restart_ends_held_connects_and_loses_sessions(world: World, device: Device, how: str) -> None:
    world.turn(sr_restart=how)
    device.begin("/alarms/*")
    poll = device.held()
    assert world.emulator.control(f"{SESSIONS}/restart", {}) == {"lost": 1}
    if how == "cut":
        with pytest.raises((HTTPException, ConnectionError)):
            poll.rows()
    else:
        assert poll.rows() == []
    assert device.connect().rows() == [["86", "", "0", "handshake"]]


def test_one_session_expires(world: World, device: Device) -> None:
    other = Device(device.tenant).begin("/alarms/*")
    device.begin("/alarms/*")
    poll = device.held()
    assert world.emulator.control(f"{SESSIONS}/expire", {"session": device.client_id}) == {"expired": 1}
    assert poll.rows() == [["86", "", "0", "handshake"]]
    assert not other.held().done.is_set()


def test_a_connection_is_cut_and_the_session_goes_on(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    poll = device.held()
    assert world.emulator.control(f"{SESSIONS}/cut", {"tenant": "t123"}) == {"cut": 1}
    with pytest.raises((HTTPException, ConnectionError)):
        poll.rows()
    tenant.alarm(tenant.devices[0])
    assert len(device.connect().rows()) == 1


def test_advice_is_for_the_sessions_meant(world: World, device: Device, user: Callable[..., Tenant]) -> None:
    elsewhere = Device(user("t124"))
    elsewhere.register()
    elsewhere.begin("/alarms/*")
    device.begin("/alarms/*")
    poll = device.held()
    answer = world.emulator.control(f"{SESSIONS}/advise", {"tenant": "t123", "timeout": 1000, "interval": 5})
    assert answer == {"advised": 1}
    assert poll.rows() == [["86", "1000", "5", "retry"]]
    assert not elsewhere.held().done.is_set()


@pytest.mark.parametrize(
    ("verb", "members"),
    [("expire", {"session": "x"}), ("advise", {"reconnect": "never"}), ("advise", {"timeout": -1})],
)
def test_what_cannot_be_followed_is_refused(world: World, verb: str, members: dict[str, object]) -> None:
    answer = world.client.session.post(f"{world.emulator.url}/_control{SESSIONS}/{verb}", json=members)
    assert answer.status_code == 400 and answer.json()["error"]["detail"]
