"""``/s``: templates are looked for, created and used."""

from __future__ import annotations

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import Device
from tests.emulator.cumulocity.running import Tenant

JSON = "application/vnd.com.nsn.cumulocity.operation+json"
ITEMS = "application/vnd.com.nsn.cumulocity.operationCollection+json"
TEMPLATES = (
    f'10,110,PUT,/devicecontrol/operations/%%,{JSON},,%%,UNSIGNED STRING,"{{""status"":""%%""}}"',
    f"10,111,GET,/devicecontrol/operations?agentId=%%&deviceId=%%&status=PENDING,,{ITEMS},%%,UNSIGNED UNSIGNED,",
    "11,500,,$.c8y_Restart,$.id,$.deviceId,$.status",
    "11,510,$.operations,$.c8y_Restart,$.id,$.deviceId",
)
NONE = '40,"No template for this X-ID."'


@pytest.fixture
def device(tenant: Tenant) -> Device:
    device = Device(tenant)
    device.path = "/c8y/s"
    return device


def test_a_collection_is_looked_for_created_and_found_again(device: Device) -> None:
    assert device.ask("") == NONE
    id = device.register(*TEMPLATES)
    assert device.ask("") == f"20,{id}"
    assert device.ask("", f"{device.prefix}/s/", x_id=id) == f"20,{id}"
    assert device.ask(TEMPLATES[2]) == "41,1,template object already exists"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("11,100,,,$.a\n11,100,,,$.b", "41,2,duplicate message ids"),
        ("11,100,,,$.a\n83,x", "41,2,not a valid id for template creation"),
        ("11,100,,,$.a\r\n11,101,,,$.b[*]", "41,2,path refers to a list"),
    ],
)
def test_a_wrong_collection_is_refused_whole(device: Device, body: str, answer: str) -> None:
    assert device.ask(body) == answer
    assert device.ask("") == NONE


def test_rows_do_what_their_templates_say(device: Device, tenant: Tenant) -> None:
    device.register(*TEMPLATES)
    agent = tenant.devices[0]
    made = tenant.operation(agent)
    assert device.ask(f"111,{agent},{agent}") == f"510,1,{made['id']},{agent}"
    answer = device.ask(f"110,{made['id']},EXECUTING\n111,{agent},{agent}")
    assert answer == f"500,1,{made['id']},{agent},EXECUTING"
    assert tenant.get(f"/devicecontrol/operations/{made['id']}")["status"] == "EXECUTING"


def test_each_wrong_row_has_its_error_row(device: Device) -> None:
    device.register(*TEMPLATES)
    body = '110,999999,EXECUTING\n110,1\n110,x,y\n99,1\n83,x\n110,"'
    assert device.ask(body).split("\n") == [
        "50,1,404",
        "45,2,wrong number of arguments",
        "45,3,value is not a UNSIGNED: x",
        "43,4,invalid message identifier",
        "43,5,invalid message identifier",
        "42,6,malformed request",
    ]


def test_rows_act_with_the_roles_of_their_sender(world: World, device: Device, tenant: Tenant) -> None:
    device.register(*TEMPLATES)
    made = tenant.operation(tenant.devices[0])
    members = {"tenant": "t123", "name": "admin", "roles": ["ROLE_DEVICE_CONTROL_READ"]}
    world.emulator.control("/cumulocity/users", members)
    assert device.ask(f"110,{made['id']},EXECUTING") == "50,1,403"


def test_rows_15_choose_the_x_id_and_rows_87_say_whose_the_answers_are(device: Device, tenant: Tenant) -> None:
    device.register(*TEMPLATES)
    first = device.ask("").removeprefix("20,")
    device.register(*TEMPLATES[:2], "11,600,$.operations,,$.id", x_id="other")
    second = device.ask("", x_id="other").removeprefix("20,")
    assert device.ask(f"15,{device.x_id}\n15,other\n15,nobody", x_id="") == f"20,{first}\n20,{second}\n{NONE}"
    agent = tenant.devices[0]
    made = tenant.operation(agent)
    ask = f"111,{agent},{agent}"
    answer = device.ask(f"15,{device.x_id}\n{ask}\n15,other\n{ask}", x_id="")
    assert answer.split("\n") == [
        f"87,1,{device.x_id}",
        f"510,2,{made['id']},{agent}",
        "87,1,other",
        f"600,4,{made['id']}",
    ]


def test_without_an_x_id_there_is_no_template(device: Device) -> None:
    assert device.ask("110,1,EXECUTING", x_id="") == NONE
