"""Bayeux in JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import Device
from tests.emulator.cumulocity.running import Tenant

HELLO = {"channel": "/meta/handshake", "version": "1.0", "id": "1", "supportedConnectionTypes": ["long-polling"]}
ADVICE = {"reconnect": "retry", "interval": 0, "timeout": 5_400_000}


class Client:
    """One session; every message has its id."""

    def __init__(self, device: Device, **more: Any) -> None:
        self.device = device
        (self.hello,) = device.json({**HELLO, **more})
        self.id = self.hello["clientId"]

    def message(self, verb: str, **more: Any) -> dict[str, Any]:
        return {"channel": f"/meta/{verb}", "clientId": self.id, "id": "7", **more}

    def ask(self, verb: str, **more: Any) -> Any:
        return self.device.json(self.message(verb, **more))

    def connect(self, timeout: int = 0, **more: Any) -> Any:
        """Answered at once unless told otherwise."""
        return self.ask("connect", connectionType="long-polling", advice={"timeout": timeout}, **more)


@pytest.fixture
def client(device: Device) -> Client:
    return Client(device)


def test_a_handshake_names_what_is_spoken(client: Client) -> None:
    hello = dict(client.hello)
    assert len(hello.pop("clientId")) >= 20
    assert hello == {
        "channel": "/meta/handshake",
        "id": "1",
        "successful": True,
        "version": "1.0",
        "minimumVersion": "1.0",
        "supportedConnectionTypes": ["long-polling", "smartrest-long-polling"],
        "ext": {"ack": True},
    }


def test_a_conversation(client: Client, tenant: Tenant) -> None:
    (reply,) = client.ask("subscribe", subscription="/alarms/*")
    assert reply == {**client.message("subscribe"), "successful": True, "subscription": "/alarms/*"}
    made = tenant.alarm(tenant.devices[0])
    message, connected = client.connect()
    assert message["channel"] == f"/alarms/{tenant.devices[0]}"
    assert (message["data"]["realtimeAction"], message["data"]["data"]["id"]) == ("CREATE", made["id"])
    assert connected == {**client.message("connect"), "successful": True, "advice": ADVICE}
    assert client.ask("unsubscribe", subscription="/alarms/*")[0]["successful"]
    assert client.ask("disconnect")[0]["successful"]
    assert client.ask("connect") == [
        {
            "channel": "/meta/connect",
            "successful": False,
            "error": "402::Unknown client",
            "id": "7",
            "advice": {"reconnect": "handshake", "interval": 0},
        }
    ]


def test_an_unknown_client_gets_advice_for_a_connect_only(client: Client) -> None:
    client.id = "gone"
    (reply,) = client.ask("subscribe", subscription="/alarms/*")
    assert (reply["error"], reply["subscription"]) == ("402::Unknown client", "/alarms/*") and "advice" not in reply


def test_several_channels_and_messages_come_in_one_request(client: Client) -> None:
    one = client.message("subscribe", subscription=["/alarms/1", "/alarms/2"])
    replies = client.device.json(one, client.message("unsubscribe", subscription="/alarms/1"))
    assert [reply["successful"] for reply in replies] == [True, True]


@pytest.mark.parametrize(
    ("subscription", "error"),
    [
        (None, "403::subscription_missing"),
        ([], "403::subscription_missing"),
        ("alarms", "403::subscription_invalid"),
        ("/meta/connect", "403:denied_by_security_policy:subscribe_denied"),
    ],
)
def test_a_wrong_subscription_is_refused(client: Client, subscription: object, error: str) -> None:
    (reply,) = client.ask("subscribe", subscription=subscription)
    assert (reply["successful"], reply["error"]) == (False, error)


def test_clients_do_not_publish(client: Client) -> None:
    (reply,) = client.device.json({"channel": "/alarms/1", "clientId": client.id, "data": {}})
    assert not reply["successful"] and reply["error"].startswith("403:")


def test_acknowledged_messages_come_again_until_they_are(client: Client, tenant: Tenant) -> None:
    kept = Client(client.device, ext={"ack": True})
    kept.ask("subscribe", subscription="/alarms/*")
    tenant.alarm(tenant.devices[0])
    _, first = kept.connect(ext={"ack": -1})
    assert first["ext"] == {"ack": 1}
    message, again = kept.connect(ext={"ack": 0})
    assert message["data"]["realtimeAction"] == "CREATE" and again["ext"] == {"ack": 2}
    assert len(kept.connect(ext={"ack": 2})) == 1


def test_an_operation_is_told_as_it_is(tenant: Tenant) -> None:
    agent = tenant.devices[0]
    client = Client(Device(tenant, "/notification/operations"))
    client.ask("subscribe", subscription=f"/{agent}")
    made = tenant.operation(agent)
    message, _ = client.connect()
    assert (message["channel"], message["data"]["id"]) == (f"/{agent}", made["id"])


@pytest.mark.parametrize(
    "body",
    ["{", "[]", "[1]", '[{"channel": 1}]', '[{"channel": "/meta/connect", "clientId": 1}]', "[{}]"],
)
def test_a_body_that_is_no_message_is_refused(world: World, tenant: Tenant, device: Device, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = tenant.session.post(tenant.emulator.url + device.path, data=body, headers=headers)
    assert answer.status_code == 400


def test_a_handshake_stands_alone(tenant: Tenant, client: Client) -> None:
    messages = [HELLO, client.message("connect")]
    assert tenant.session.post(tenant.emulator.url + client.device.path, json=messages).status_code == 400
