"""Registering, reading and deleting channels: the statuses of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.pelion.conftest import FULL, Pelion
from tests.emulator.running import receiver

CALLBACK, WEBSOCKET, CHANNEL = "/v2/notification/callback", "/v2/notification/websocket", "/v2/notification/channel"


def test_a_callback_lives(pelion: Pelion) -> None:
    assert pelion.call("GET", CALLBACK).status_code == pelion.call("DELETE", CALLBACK).status_code == 404
    assert pelion.callback(headers={"X-Secret": "s"}).status_code == 204
    assert pelion.call("GET", CALLBACK).json() == {"url": f"{pelion.app.url}/cellar", "headers": {"X-Secret": "s"}}
    assert pelion.call("GET", CHANNEL).json() == {"delivery_mechanism": "CALLBACK"}
    assert pelion.call("DELETE", CALLBACK).status_code == 204
    assert pelion.call("GET", CHANNEL).status_code == 404


def test_an_address_is_verified_by_an_empty_put_with_the_headers(pelion: Pelion) -> None:
    pelion.callback(headers={"X-Secret": "s"})
    [probe] = pelion.app.got
    assert (probe.method, probe.path, probe.body) == ("PUT", "/cellar", b"{}")
    assert probe.headers["x-secret"] == "s" and probe.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [201, 202, 301, 302, 400, 401, 404, 500])
def test_an_address_that_does_not_answer_200_or_204_is_refused(pelion: Pelion, status: int) -> None:
    pelion.app.respond = lambda request: (status, {"Location": "/elsewhere"})
    assert pelion.callback().status_code == 400
    assert len(pelion.app.got) == 1 and pelion.state() is None


def test_an_address_nobody_listens_at_is_refused(pelion: Pelion) -> None:
    assert pelion.callback(url="http://127.0.0.1:9/none").status_code == 400


def test_only_200_may_count(pelion: Pelion) -> None:
    pelion.world.turn(pelion_acknowledging="200")
    assert pelion.callback().status_code == 400
    pelion.app.answer(200)
    assert pelion.callback().status_code == 204


def test_another_address_overwrites_the_first_and_keeps_the_queue(pelion: Pelion) -> None:
    pelion.callback()
    pelion.app.answer(503)
    pelion.publish(count=3)
    pelion.received(1)
    with receiver() as other:
        assert pelion.callback(url=f"{other.url}/new", serialization=FULL).status_code == 204
        assert pelion.call("GET", CALLBACK).json()["url"] == f"{other.url}/new"
        pelion.world.advance(10)
        assert len(other.got) == 2 and len(other.got[1].json["notifications"]) == 3


def test_a_failed_verification_leaves_the_first_address(pelion: Pelion) -> None:
    pelion.callback()
    assert pelion.callback(url="http://127.0.0.1:9/none").status_code == 400
    assert pelion.call("GET", CALLBACK).json()["url"] == f"{pelion.app.url}/cellar"


@pytest.mark.parametrize(
    "members",
    [
        {"url": 7},
        {"url": "ftp://x/"},
        {"url": "http://x/\n"},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "c\r\nd: e"}},
        {"headers": {"a": 1}},
        {"headers": []},
        {"headers": {"a": "c" * 400}},
        {"serialization": {"type": "v1"}},
    ],
)
def test_what_cannot_be_a_callback_is_refused(pelion: Pelion, members: dict[str, Any]) -> None:
    assert pelion.callback(**members).status_code == 400
    assert pelion.app.got == []


def test_address_and_headers_have_400_characters(pelion: Pelion) -> None:
    room = 400 - len(f"{pelion.app.url}/cellar") - len("X-A")
    assert pelion.callback(headers={"X-A": "v" * (room + 1)}).status_code == 400
    assert pelion.callback(headers={"X-A": "v" * room}).status_code == 204


def test_a_websocket_channel_lives(pelion: Pelion) -> None:
    made = pelion.websocket(serialization=FULL)
    assert made.status_code == 201
    assert made.json() == {"status": "disconnected", "queue_size": 0, "serialization": FULL}
    again = pelion.websocket()
    assert (again.status_code, again.json()) == (200, {"serialization": FULL})
    pelion.publish(count=4)
    assert pelion.call("GET", WEBSOCKET).json()["queue_size"] == 4
    assert pelion.call("GET", CHANNEL).json() == {"delivery_mechanism": "WEB_SOCKET"}
    assert pelion.call("DELETE", WEBSOCKET).status_code == 204
    assert pelion.call("GET", WEBSOCKET).status_code == pelion.call("DELETE", WEBSOCKET).status_code == 404
    assert pelion.websocket().json()["queue_size"] == 0


def test_its_status_may_be_unknown(pelion: Pelion) -> None:
    pelion.world.turn(pelion_status="unknown")
    assert pelion.websocket().json() == {"status": "unknown", "queue_size": -1}


def test_a_json_content_type_without_a_body_is_fine(pelion: Pelion) -> None:
    answer = pelion.call("PUT", WEBSOCKET, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


def test_one_channel_at_a_time(pelion: Pelion) -> None:
    pelion.callback()
    assert pelion.websocket().status_code == pelion.call("GET", "/v2/notification/pull").status_code == 400
    pelion.call("DELETE", CALLBACK)
    pelion.websocket()
    assert pelion.callback().status_code == 400
    assert pelion.callback("gates").status_code == 204  # another application has its own


def test_two_keys_of_one_application_share_its_channel(pelion: Pelion) -> None:
    second = pelion.control("/pelion/keys", {"application": "cellar"})["key"]
    pelion.websocket()
    assert pelion.call("GET", WEBSOCKET, key=second).status_code == 200


@pytest.mark.parametrize("path", [CALLBACK, WEBSOCKET, "/v2/subscriptions"])
def test_without_a_key_401_with_a_login_token_403(pelion: Pelion, path: str) -> None:
    login = pelion.control("/pelion/accounts")["accounts"][0]["login_token"]
    assert pelion.call("GET", path, key="ak_1nonsense").status_code == 401
    assert pelion.call("GET", path, headers={"Authorization": "Basic eA=="}).status_code == 401
    assert pelion.call("GET", path, key=login).status_code == 403
    assert pelion.call("GET", path, headers={"Authorization": f"bEaReR {pelion.keys['cellar']}"}).status_code != 401


def test_limits_stay_until_the_channel_is_registered_anew(pelion: Pelion) -> None:
    pelion.world.turn(pelion_batch_items=2)
    pelion.callback()
    pelion.world.turn(pelion_batch_items=5)
    pelion.callback()
    pelion.publish(count=10)
    pelion.world.delivered()
    assert [len(batch["notifications"]) for batch in pelion.batches()] == [2] * 5
    pelion.call("DELETE", CALLBACK)
    pelion.callback()
    pelion.app.forget()
    pelion.publish(count=10)
    pelion.world.delivered()
    assert [len(batch["notifications"]) for batch in pelion.batches()] == [5, 5]


@pytest.mark.parametrize(("body", "type", "status"), [("{", "application/json", 400), ("url=x", "text/plain", 415)])
def test_a_body_must_be_json(pelion: Pelion, body: str, type: str, status: int) -> None:
    assert pelion.call("PUT", CALLBACK, data=body, headers={"Content-Type": type}).status_code == status


def test_a_wrong_verb_is_refused(pelion: Pelion) -> None:
    answer = pelion.call("POST", CALLBACK)
    assert answer.status_code == 405 and answer.json()["object"] == "error"
