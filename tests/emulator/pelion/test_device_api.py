"""Subscriptions, rules, device requests and the directory over HTTP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.emulator.pelion.conftest import DEVICE, FOREIGN, PATH, SLEEPER, Pelion
from tests.emulator.running import wait_for

RULES = "/v2/subscriptions"
REQUESTS = f"/v2/device-requests/{DEVICE}"


def test_a_subscription_is_reported_through_the_channel(pelion: Pelion) -> None:
    pelion.callback()
    answer = pelion.subscribe()
    assert answer.status_code == 202
    [response] = pelion.received(1)[0]["async-responses"]
    assert response["id"] == answer.json()["async-response-id"]
    assert (response["status"], response["payload"]) == (200, "MjEuNQ==")
    assert pelion.subscribe().status_code == 200
    assert pelion.call("GET", f"/v2/subscriptions/{DEVICE}{PATH}").status_code == 200
    listing = pelion.call("GET", f"/v2/subscriptions/{DEVICE}")
    assert (listing.text, listing.headers["content-type"].split(";")[0]) == (PATH, "text/uri-list")


def test_only_a_subscribed_value_arrives_and_only_there(pelion: Pelion) -> None:
    pelion.callback()
    pelion.callback("gates")
    assert pelion.value("20.0") == 0
    pelion.subscribe()
    assert pelion.value("22.0") == 1
    wait_for(lambda: pelion.items("notifications"))
    [item] = pelion.items("notifications")
    assert (item["ep"], item["path"], base64.b64decode(item["payload"])) == (DEVICE, PATH, b"22.0")
    pelion.call("DELETE", f"/v2/subscriptions/{DEVICE}{PATH}")
    assert pelion.value("23.0") == 0


def test_two_slashes_count_as_one(pelion: Pelion) -> None:
    pelion.subscribe(f"/{PATH}")
    assert pelion.call("GET", f"/v2/subscriptions/{DEVICE}{PATH}").status_code == 200


def test_an_object_comes_as_tlv(pelion: Pelion) -> None:
    pelion.callback()
    pelion.subscribe("/3303/0")
    pelion.value("22.5")
    wait_for(lambda: pelion.items("notifications"))
    [item] = pelion.items("notifications")
    assert (item["path"], item["ct"]) == ("/3303/0", "application/vnd.oma.lwm2m+tlv")
    assert b"22.5" in base64.b64decode(item["payload"])


def test_what_is_not_there_cannot_be_subscribed_to(pelion: Pelion) -> None:
    pelion.callback()
    assert pelion.subscribe(device="0" * 32).status_code == 404
    assert pelion.subscribe(device=FOREIGN).status_code == 404
    pelion.subscribe("/9/9/9")
    pelion.subscribe("/3/0/0")  # not observable
    wait_for(lambda: len(pelion.items("async-responses")) == 2)
    assert [response["status"] for response in pelion.items("async-responses")] == [404, 404]
    pelion.act("sleep")
    assert pelion.subscribe("/3303/0/5701").status_code == 502


def test_rules_are_put_read_and_cleared(pelion: Pelion) -> None:
    rules = [{"endpoint-type": "thermo", "resource-path": ["/3303/*"]}]
    assert pelion.call("GET", RULES).json() == []
    assert pelion.call("PUT", RULES, json=rules).status_code == 204
    assert pelion.call("GET", RULES).json() == rules
    assert pelion.call("GET", RULES, application="gates").json() == []
    assert pelion.call("DELETE", RULES).status_code == 204
    assert pelion.call("GET", RULES).json() == []


def command(pelion: Pelion, body: Any, query: str = "?async-id=id-1", path: str = REQUESTS) -> tuple[int, str]:
    answer = pelion.call("POST", path + query, json=body)
    return answer.status_code, answer.text


def test_a_commands_result_comes_through_the_channel(pelion: Pelion) -> None:
    pelion.callback()
    assert command(pelion, {"method": "GET", "uri": PATH}) == (202, "")
    assert pelion.received(1)[0]["async-responses"] == [
        {"id": "id-1", "status": 200, "payload": "MjEuNQ==", "ct": "text/plain", "max-age": 0}
    ]


def test_a_write_changes_the_value_and_tells_subscribers(pelion: Pelion) -> None:
    pelion.callback()
    pelion.subscribe()
    command(pelion, {"method": "PUT", "uri": PATH, "payload-b64": "MzA="})
    wait_for(lambda: pelion.items("notifications"))
    assert pelion.items("notifications")[0]["payload"] == "MzA="
    command(pelion, {"method": "PUT", "uri": f"{PATH}?pmax=60"})
    wait_for(lambda: len(pelion.items("async-responses")) == 3)
    assert len(pelion.items("notifications")) == 1


@pytest.mark.parametrize(
    ("body", "query", "path", "answer"),
    [
        ({"method": "GET", "uri": "/1"}, "", REQUESTS, (400, "MALFORMED_ASYNC_ID")),
        ({"method": "GET", "uri": "/1"}, "?async-id=a b", REQUESTS, (400, "MALFORMED_ASYNC_ID")),
        ({"method": "GET"}, "?async-id=a", REQUESTS, (400, "MALFORMED_JSON_CONTENT")),
        ({"method": "PATCH", "uri": "/1"}, "?async-id=a", REQUESTS, (400, "MALFORMED_JSON_CONTENT")),
        (
            {"method": "PUT", "uri": "/1", "payload-b64": "?"},
            "?async-id=a",
            REQUESTS,
            (400, "MALFORMED_JSON_CONTENT"),
        ),
        ({"method": "GET", "uri": "/1"}, "?async-id=a", "/v2/device-requests/none", (404, "DEVICE_NOT_FOUND")),
    ],
)
def test_a_wrong_command_is_refused_in_one_word(
    pelion: Pelion, body: Any, query: str, path: str, answer: tuple[int, str]
) -> None:
    assert command(pelion, body, query, path) == answer


@pytest.mark.parametrize("query", ["retry=11", "expiry-seconds=59", "expiry-seconds=2592001", "retry=x"])
def test_a_commands_numbers_have_bounds(pelion: Pelion, query: str) -> None:
    assert command(pelion, {"method": "GET", "uri": PATH}, f"?async-id=a&{query}")[0] == 400


def test_a_device_that_has_left_takes_no_command(pelion: Pelion) -> None:
    pelion.act("deregister")
    assert command(pelion, {"method": "GET", "uri": PATH}) == (400, "DEVICE_NOT_CONNECTED")


def test_twenty_commands_wait_for_a_sleeping_device(pelion: Pelion) -> None:
    pelion.act("sleep", SLEEPER)
    path = f"/v2/device-requests/{SLEEPER}"
    for number in range(20):
        assert command(pelion, {"method": "GET", "uri": "/3200/0/5501"}, f"?async-id=a{number}", path)[0] == 202
    full = command(pelion, {"method": "GET", "uri": "/3200/0/5501"}, "?async-id=b", path)
    assert full == (400, "QUEUE_IS_FULL")


def test_the_obsolete_form_answers_202_with_an_id(pelion: Pelion) -> None:
    pelion.callback()
    answer = pelion.call("GET", f"/v2/endpoints/{DEVICE}/{PATH}")
    assert answer.status_code == 202
    [response] = pelion.received(1)[0]["async-responses"]
    assert response["id"] == answer.json()["async-response-id"]
    assert pelion.call("PUT", f"/v2/endpoints/{DEVICE}{PATH}?noResp=true", data=b"1").status_code == 204


def test_the_directory_lists_an_accounts_own_devices(pelion: Pelion) -> None:
    page = pelion.call("GET", "/v3/devices/?limit=2&include=total_count&filter=state%3Dregistered").json()
    assert (len(page["data"]), page["total_count"], page["has_more"]) == (2, 3, True)
    rest = pelion.call("GET", f"/v3/devices?limit=2&after={page['data'][-1]['id']}").json()
    assert (len(rest["data"]), rest["has_more"]) == (1, False)
    pelion.act("deregister")
    assert pelion.call("GET", "/v3/devices/?filter=state%3Dderegistered").json()["data"][0]["id"] == DEVICE
    assert pelion.call("GET", f"/v3/devices/{FOREIGN}").status_code == 404
    assert {entry["uri"] for entry in pelion.call("GET", f"/v2/endpoints/{DEVICE}").json()} >= {PATH}


def test_a_key_knows_its_account(pelion: Pelion) -> None:
    account = pelion.call("GET", "/v3/accounts/me").json()["id"]
    key = pelion.call("GET", "/v3/api-keys/me").json()
    assert key["account_id"] == account == pelion.call("GET", f"/v3/devices/{DEVICE}").json()["account_id"]
    assert len(key["key"]) == 79 and pelion.keys["cellar"].startswith(key["key"])
    assert pelion.call("GET", "/v3/accounts/me", application="mill").json()["id"] != account


@pytest.mark.parametrize(("fault", "status"), [("api-5xx", 500), ("api-429", 429)])
def test_the_api_fails_as_declared(pelion: Pelion, fault: str, status: int) -> None:
    pelion.world.fault(fault)
    assert pelion.call("GET", RULES).status_code == status


def test_an_account_says_its_tier(pelion: Pelion) -> None:
    assert pelion.call("GET", "/v3/accounts/me").json()["tier"] == "1"
    pelion.world.turn(pelion_tier="0")
    assert pelion.call("GET", "/v3/accounts/me").json()["tier"] == "0"
