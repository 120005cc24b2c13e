"""What follows from what devices do."""

from __future__ import annotations

from tests.emulator.pelion.conftest import DEVICE, FOREIGN, FULL, PATH, SLEEPER, Pelion
from tests.emulator.running import wait_for

LIFE = ("registrations", "reg-updates", "de-registrations", "registrations-expired")


def live(pelion: Pelion) -> None:
    for act in ("register", "update", "deregister", "register", "expire"):
        pelion.act(act)


def test_a_life_reaches_every_channel_of_the_account_and_no_other(pelion: Pelion) -> None:
    pelion.websocket()
    pelion.websocket("gates")
    pelion.websocket("mill")
    live(pelion)
    for application in ("cellar", "gates"):
        [message] = pelion.connect(application).got(1)
        assert set(message) == set(LIFE) and len(message["registrations"]) == 2
        assert message["de-registrations"] == message["registrations-expired"] == [DEVICE]
    state = pelion.state("mill")
    assert state and state["waiting"] == 0
    pelion.act("update", FOREIGN)
    state = pelion.state("mill")
    assert state and state["waiting"] == 1


def test_ends_of_registrations_may_be_objects(pelion: Pelion) -> None:
    pelion.websocket(serialization=FULL)
    live(pelion)
    [message] = pelion.connect().got(1)
    [gone] = message["de-registrations"]
    assert set(gone) == {"ep", "uid", "timestamp", "original-ep"} and gone["original-ep"] == "cellar-07"


def test_a_full_registration_ends_manual_subscriptions_and_rules_survive(pelion: Pelion) -> None:
    pelion.callback()
    pelion.subscribe()
    pelion.call("PUT", "/v2/subscriptions", json=[{"endpoint-type": "gate"}])
    assert pelion.value("1", SLEEPER, "/3200/0/5501") == 0  # rules act when devices register or update
    pelion.act("update", SLEEPER)
    pelion.act("update")
    assert pelion.value("1", SLEEPER, "/3200/0/5501") == 1 and pelion.value("1") == 1
    pelion.act("register", SLEEPER)
    pelion.act("register")
    assert pelion.value("2", SLEEPER, "/3200/0/5501") == 1 and pelion.value("2") == 0


def test_a_new_subscription_of_a_rule_sends_the_present_value(pelion: Pelion) -> None:
    pelion.callback()
    pelion.call("PUT", "/v2/subscriptions", json=[{"resource-path": [PATH]}])
    pelion.act("update")
    wait_for(lambda: pelion.items("notifications"))
    assert pelion.items("notifications")[0]["payload"] == "MjEuNQ=="


def test_a_registration_runs_out_by_itself(pelion: Pelion) -> None:
    pelion.callback()
    pelion.act("register", lifetime_s=3600)
    pelion.world.advance(1800)
    pelion.act("update")
    pelion.world.advance(3599)
    assert pelion.items("registrations-expired") == []
    pelion.world.advance(1)
    wait_for(lambda: pelion.items("registrations-expired") == [DEVICE])


def test_equal_values_are_two_events(pelion: Pelion) -> None:
    pelion.callback()
    pelion.subscribe()
    pelion.value("21.5")
    pelion.value("21.5")
    wait_for(lambda: len(pelion.items("notifications")) == 2)
