"""The endpoints, and who may pass."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import Device
from tests.emulator.cumulocity.running import Tenant

PATHS = ("/notification/realtime", "/notification/operations", "/cep/realtime", "/devicecontrol/notifications")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prefix", ["/c8y", ""])
def test_every_endpoint_speaks_both_dialects(device: Device, path: str, prefix: str) -> None:
    there = Device(device.tenant, path, prefix=prefix)
    assert len(there.ask("80")) >= 20
    (reply,) = there.json({"channel": "/meta/handshake", "version": "1.0"})
    assert reply["successful"]


def test_an_older_name_is_the_same_endpoint(device: Device) -> None:
    device.begin()
    old = Device(device.tenant, "/cep/realtime")
    assert old.ask(f"82,{device.client_id},/alarms/*") == ""


@pytest.mark.parametrize("tail", ["/", "/handshake", "/connect"])
def test_json_clients_append_the_verb_or_a_slash(device: Device, tail: str) -> None:
    device.path += tail
    assert device.json({"channel": "/meta/handshake", "version": "1.0"})[0]["successful"]


def test_credentials_come_first(world: World, device: Device) -> None:
    url = world.emulator.url + device.path
    headers = {"X-Id": device.x_id}
    answer = world.client.session.post(url, data="80", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "security/Unauthorized")
    assert world.client.session.post(url, data="80", headers=headers, auth=("t123/admin", "x")).status_code == 401


def test_other_verbs_and_bodies_are_refused(tenant: Tenant, device: Device) -> None:
    url = tenant.emulator.url + device.path
    assert tenant.session.get(url).status_code == 405
    assert tenant.session.post(url, data="80").status_code == 400  # neither X-Id nor JSON
    assert tenant.session.post(url, data=b"80,\xff", headers={"X-Id": device.x_id}).status_code == 400
    large = b"80," + b"x" * 4_194_304
    assert tenant.session.post(url, data=large, headers={"X-Id": device.x_id}).status_code == 413


def test_the_platform_may_fail(world: World, tenant: Tenant, device: Device) -> None:
    world.fault("c8y-5xx")
    answer = tenant.session.post(tenant.emulator.url + device.path, data="80", headers={"X-Id": device.x_id})
    assert answer.status_code == 500


PIECES = st.sampled_from(
    ["80", "81", "82", "83", "84", "86", "15", "true", "-1", ",", "\n", "\r", '"', " ", "/alarms/*", "ä"]
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(["/meta/handshake", "/meta/subscribe", "/meta/connect", "/x", 1, None]),
        "clientId": st.sampled_from(["x", 1, None, []]),
        "subscription": st.sampled_from(["/alarms/*", ["/a", 1], {}, ""]),
        "ext": st.sampled_from([{"ack": True}, {"ack": "x"}, 1, None]),
        "advice": st.sampled_from([{"timeout": "x"}, {"timeout": -1}, 5]),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(PIECES).map("".join) | st.text(), messages=st.lists(MEMBERS, max_size=3))
def test_no_body_makes_the_platform_fail(device: Device, text: str, messages: list[dict[str, object]]) -> None:
    session, url = device.tenant.session, device.tenant.emulator.url
    for path in (device.path, "/s"):
        body = text.encode("utf-8", "surrogatepass")
        answer = session.post(url + path, data=body, headers={"X-Id": device.x_id})
        assert answer.status_code in (200, 400), answer.text
    headers = {"Content-Type": "application/json"}
    assert session.post(url + device.path, data=json.dumps(messages), headers=headers).status_code in (200, 400)
