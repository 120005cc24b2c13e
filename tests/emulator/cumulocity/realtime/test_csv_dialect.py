"""The conversation in rows 80 to 88, byte for byte where seed 003 prints it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import OPERATIONS, X_ID, Device
from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import wait_for

ADVICE = ["86", "5400000", "0", "retry"]
UNKNOWN = "86,,0,handshake"


def test_a_handshake_is_answered_with_a_client_id_and_nothing_else(device: Device) -> None:
    first, second = device.ask("80"), device.ask("80")
    assert re.fullmatch("[0-9a-z]{20,}", first) and first != second


def test_nothing_answers_a_subscription_its_end_and_a_disconnect(device: Device) -> None:
    device.client_id = id = device.ask("80")
    assert device.ask(f"81,{id},/mychannel") == ""
    assert device.session()["channels"] == {"/mychannel": []}
    assert device.ask(f"82,{id},/mychannel") == ""
    assert device.session()["channels"] == {}
    assert device.ask(f"84,{id}") == ""
    assert device.connect().rows() == [["86", "", "0", "handshake"]]


def test_the_first_connect_brings_the_advice_at_once_and_the_next_is_held(device: Device) -> None:
    device.client_id = device.ask("80")
    assert device.connect().rows() == [ADVICE]
    assert not device.held().done.is_set()


def test_every_matching_template_makes_a_row(device: Device, tenant: Tenant) -> None:
    device.x_id = "com.acme.two"
    device.register(
        "11,500,,$.data.severity,$.data.id,$.data.text",
        "11,501,$.data,$.severity,$.id,$.severity,$.missing",
        "11,502,,$.data.c8y_Other,$.data.id",
    )
    device.begin("/alarms/*")
    poll = device.held()
    made = tenant.alarm(tenant.devices[0], text='get "uptime", short')
    assert poll.rows() == [["500", made["id"], 'get "uptime", short'], ["501", made["id"], "MAJOR", ""]]


def test_what_matches_no_template_is_lost_for_the_client(device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*", "/events/*")
    poll = device.held()
    tenant.event(tenant.devices[0])
    made = tenant.alarm(tenant.devices[0])
    assert [row[2] for row in poll.rows()] == [made["id"]]


def test_further_x_ids_put_their_rows_behind_a_row_87(device: Device, tenant: Tenant) -> None:
    """The seed's example: the same row id under two X-Ids, and the one without a match is left out."""
    value = "$.c8y_Relay.name"
    device.path, device.x_id = f"/c8y{OPERATIONS}", "mytemplate1"
    device.register(f"11,100,,,{value}", f"11,101,,,{value}2")
    device.register("11,100,,$.c8y_Never,$.id", x_id="mytemplate2")
    device.register(f"11,100,,,{value}3", x_id="mytemplate3")
    agent = tenant.devices[0]
    device.begin(f"/{agent},mytemplate2,mytemplate3")
    poll = device.held()
    relay = {"name": "myvalue", "name2": "myvalue2", "name3": "myvalue3"}
    tenant.post("/devicecontrol/operations", {"deviceId": agent, "c8y_Relay": relay})
    poll.rows()
    assert poll.text == ("87,2,mytemplate1\n100,myvalue\n101,myvalue2\n87,1,mytemplate3\n100,myvalue3")


def test_the_same_channel_again_replaces_its_x_ids(device: Device) -> None:
    device.register(x_id="other")
    device.begin("/alarms/*,other")
    device.ask(f"81,{device.client_id},/alarms/*")
    assert device.session()["channels"] == {"/alarms/*": []}


def test_several_channels_come_in_one_request(device: Device) -> None:
    device.client_id = id = device.ask("80")
    assert device.ask(f"81,{id},/alarms/1\n81,{id},/alarms/2\r\n\r\n82,{id},/alarms/1") == ""
    assert list(device.session()["channels"]) == ["/alarms/2"]


def test_a_connect_is_answered_last_wherever_it_stands(device: Device) -> None:
    device.begin()
    assert device.ask(f"83,{device.client_id}\n81,other,/alarms/*\n84,{device.client_id}") == UNKNOWN


def test_numbered_answers_are_kept_until_a_connect_names_their_number(device: Device, tenant: Tenant) -> None:
    device.client_id = device.ask("80,true")
    device.ask(f"81,{device.client_id},/alarms/*")
    assert device.connect("-1").rows() == [ADVICE, ["88", "1"]]
    poll = device.held("1")
    made = tenant.alarm(tenant.devices[0])
    row = ["100", "CREATE", made["id"], "warm"]
    assert poll.rows() == [row, ["88", "2"]]
    assert device.connect("1").rows() == [row, ["88", "3"]]  # not confirmed: again, under a new number
    assert device.session()["unconfirmed"] == 1
    assert not device.held("3").done.is_set()
    assert device.session()["unconfirmed"] == 0


def test_an_answer_without_notifications_may_lack_row_88(world: World, device: Device) -> None:
    world.turn(sr_ack_row_always=False)
    device.client_id = device.ask("80,true")
    assert device.connect("-1").rows() == [ADVICE]


def test_without_acknowledgement_there_is_no_row_88(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    poll = device.held()
    tenant.alarm(tenant.devices[0])
    assert [row[0] for row in poll.rows()] == ["100"]


def test_a_platform_may_know_only_the_plain_handshake(world: World, device: Device) -> None:
    world.turn(sr_reliable=False)
    assert device.ask("80,true") == "45,1,no arguments supported"
    device.client_id = device.ask("80")
    assert device.ask(f"83,{device.client_id},1") == "45,1,wrong number of arguments"


def test_line_numbers_are_those_of_the_connect(world: World, device: Device, tenant: Tenant) -> None:
    """As both of the vendor's own clients read it; rows 87, 88 and the client id have none."""
    world.turn(sr_line_numbers=True)
    device.register(x_id="child")
    device.client_id = device.ask("80,true")
    device.ask(f"81,{device.client_id},/alarms/*,child")
    assert device.connect("-1").rows() == [["86", "1", "5400000", "0", "retry"], ["88", "1"]]
    poll = device.held("1")
    made = tenant.alarm(tenant.devices[0])
    row = ["100", "1", "CREATE", made["id"], "warm"]
    assert poll.rows() == [["87", "1", X_ID], row, ["87", "1", "child"], row, ["88", "2"]]


def test_advice_names_what_changed_and_leaves_the_rest_empty(world: World, device: Device) -> None:
    """The seed's example, byte for byte."""
    device.begin("/alarms/*")
    poll = device.held()
    world.emulator.control("/cumulocity/sessions/advise", {"session": device.client_id, "interval": 10000})
    poll.rows()
    assert poll.text == "86,,10000,retry"


@pytest.mark.parametrize("policy", ["none", "handshake"])
def test_advice_can_send_a_client_away(world: World, device: Device, policy: str) -> None:
    device.begin("/alarms/*")
    poll = device.held()
    world.emulator.control("/cumulocity/sessions/advise", {"session": device.client_id, "reconnect": policy})
    assert poll.rows() == [["86", "", "", policy]]
    sessions = world.emulator.control("/cumulocity/sessions")["items"]
    assert [session["id"] for session in sessions] == ([device.client_id] if policy == "none" else [])


def test_rows_may_end_with_cr_lf(world: World, device: Device) -> None:
    world.turn(sr_crlf=True)
    device.client_id = device.ask("80,true")
    poll = device.connect("-1")
    poll.rows()
    assert poll.text == "86,5400000,0,retry\r\n88,1"


def test_an_unknown_client_is_advised_to_shake_hands(world: World, device: Device) -> None:
    for row in ("83,gone", "81,gone,/alarms/*", "82,gone,/alarms/*", "84,gone"):
        assert device.ask(row) == UNKNOWN
    world.turn(sr_unknown_client_81="45")
    assert device.ask("81,gone,/alarms/*\n83,gone") == f"45,1,value is not a client id\n{UNKNOWN}"


def test_a_session_is_its_users_and_its_endpoints_own(device: Device, user: Callable[..., Tenant]) -> None:
    device.begin()
    other = Device(user(name="service_notification-hub"))
    assert other.ask(f"82,{device.client_id},/alarms/*") == UNKNOWN
    elsewhere = Device(device.tenant, OPERATIONS)
    assert elsewhere.ask(f"82,{device.client_id},/5001") == UNKNOWN


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("", ""),
        ("85,x", "43,1,invalid message identifier"),
        ("80,true,1", "45,1,no arguments supported"),
        ("80,maybe", "45,1,value is not a BOOLEAN: maybe"),
        ("81,x", "45,1,wrong number of arguments"),
        ("82,x", "45,1,wrong number of arguments"),
        ("83", "45,1,wrong number of arguments"),
        ("84,x,y", "45,1,wrong number of arguments"),
        ('83,"x', "42,1,malformed request"),
        ("\n\n85\n84", "43,1,invalid message identifier\n45,2,wrong number of arguments"),
    ],
)
def test_a_wrong_row_is_answered_with_an_error_row(device: Device, body: str, answer: str) -> None:
    assert device.ask(body) == answer


def test_a_wrong_channel_number_or_x_id_is_refused(device: Device) -> None:
    device.begin()
    id = device.client_id
    assert device.ask(f"81,{id},alarms") == "45,1,value is not a channel: alarms"
    assert device.ask(f"81,{id},/meta/connect") == "50,1,403"
    assert device.ask(f"83,{id},two") == "45,1,value is not a INTEGER: two"
    assert device.ask(f"81,{id},/alarms/*,nobody") == '40,"No template for this X-ID."'


def test_an_unknown_x_id_gets_no_session(world: World, device: Device) -> None:
    assert device.ask("80", x_id="nobody") == '40,"No template for this X-ID."'
    assert world.emulator.control("/cumulocity/sessions")["items"] == []


def test_a_channel_asks_for_the_role_of_its_kind(world: World, device: Device) -> None:
    members = {"tenant": "t123", "name": "admin", "roles": ["ROLE_EVENT_READ"]}
    world.emulator.control("/cumulocity/users", members)
    device.client_id = id = device.ask("80")
    assert device.ask(f"81,{id},/alarms/*\n81,{id},/events/*") == "50,1,403"
    assert list(device.session()["channels"]) == ["/events/*"]


def test_a_disconnect_ends_a_held_connect_with_an_empty_body(device: Device) -> None:
    device.begin("/alarms/*")
    poll = device.held()
    device.ask(f"84,{device.client_id}")
    assert poll.rows() == [] and poll.text == ""


def test_spaces_come_before_the_rows(world: World, device: Device, tenant: Tenant) -> None:
    device.begin("/alarms/*")
    poll = device.held()
    world.advance(1300)
    wait_for(lambda: poll.text == "  ")
    made = tenant.alarm(tenant.devices[0])
    assert poll.rows() == [["100", "CREATE", made["id"], "warm"]]
    assert poll.text.startswith("  100,")
