"""Which changes are told where, and to whom."""

from __future__ import annotations

import pytest

from emulator.cumulocity.changes import Action, Change
from emulator.cumulocity.documents import Document
from emulator.cumulocity.realtime.channels import CHANNEL, forbidden, tellings
from emulator.cumulocity.realtime.sessions import Family

REALTIME, OPERATIONS = Family.REALTIME, Family.OPERATIONS


def change(api: str, action: Action) -> Change:
    document: Document = {"id": "7"}
    return Change("t1", api, action, "208", document)


@pytest.mark.parametrize("api", ["alarms", "events", "measurements", "operations", "managedobjects"])
def test_a_change_is_told_on_its_devices_channel_and_to_all_devices(api: str) -> None:
    (told,) = tellings(change(api, Action.UPDATE), ["5"])
    assert (told.family, told.channels) == (REALTIME, (f"/{api}/208", f"/{api}/*"))
    assert told.data == {"realtimeAction": "UPDATE", "data": {"id": "7"}}


def test_a_new_operation_is_told_to_its_agents_as_it_is() -> None:
    _, told = tellings(change("operations", Action.CREATE), ["5", "6"])
    assert (told.family, told.channels, told.data) == (OPERATIONS, ("/208", "/5", "/6"), {"id": "7"})


@pytest.mark.parametrize(
    ("channel", "role"),
    [
        ("/alarms/*", "ROLE_ALARM_READ"),
        ("/events/1", "ROLE_EVENT_READ"),
        ("/measurements/1", "ROLE_MEASUREMENT_READ"),
        ("/operations/1", "ROLE_DEVICE_CONTROL_READ"),
        ("/managedobjects/1", "ROLE_INVENTORY_READ"),
    ],
)
def test_a_kind_asks_for_its_role(channel: str, role: str) -> None:
    assert forbidden(REALTIME, channel, frozenset())
    assert not forbidden(REALTIME, channel, frozenset({role}))


def test_the_operations_endpoints_ask_for_the_role_of_operations() -> None:
    assert forbidden(OPERATIONS, "/5010", frozenset({"ROLE_ALARM_READ"}))
    assert not forbidden(OPERATIONS, "/5010", frozenset({"ROLE_DEVICE_CONTROL_READ"}))


def test_private_channels_are_nobodys_and_unknown_ones_everybodys() -> None:
    every = frozenset({"ROLE_ALARM_READ"})
    assert forbidden(REALTIME, "/meta/connect", every) and forbidden(REALTIME, "/service/x", every)
    assert forbidden(REALTIME, "/alarms/**", every)
    assert not forbidden(REALTIME, "/mychannel", frozenset())


@pytest.mark.parametrize("name", ["/mychannel", "/alarms/*", "/alarms/208"])
def test_a_channel_has_parts_behind_slashes(name: str) -> None:
    assert CHANNEL.fullmatch(name)
    assert not CHANNEL.fullmatch(name + "/") and not CHANNEL.fullmatch(name[1:]) and not CHANNEL.fullmatch(name + " ")
