"""The control interface: for this machine only, and exact about what it refuses."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from emulator.control import ControlError, Fields, check_caller
from emulator.knobs import Panel
from emulator.mindsphere.topics import TOPICS
from tests.emulator.conftest import World

ASSET = TOPICS["asset"]


def ask(world: World, method: str, path: str, **request: Any) -> Any:
    return world.client.session.request(method, f"{world.emulator.url}/_control{path}", **request)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "192.0.2.1", "localhost.evil.example", ""])
def test_a_page_of_another_name_cannot_reach_it(world: World, host: str) -> None:
    answer = ask(world, "GET", "/credentials", headers={"Host": host})
    assert answer.status_code == 403 and answer.json()["error"]["reason"] == "forbidden"


def test_the_machines_own_names_may(world: World) -> None:
    for host in ("localhost", "127.0.0.1:1", "[::1]:8090"):
        assert ask(world, "GET", "/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("remote", "host", "admitted"),
    [
        ("127.0.0.1", "127.0.0.1:8090", True),
        ("::1", "[::1]:8090", True),
        ("192.0.2.9", "127.0.0.1:8090", False),
        ("127.0.0.1", "192.0.2.7:8090", False),
        (None, "127.0.0.1", False),
    ],
)
def test_callers_from_elsewhere_are_refused_unless_a_knob_says_so(
    panel: Panel, remote: str | None, host: str, admitted: bool
) -> None:
    request = make_mocked_request("GET", "/_control/ledger", headers={"Host": host}).clone(remote=remote or "")
    with nullcontext() if admitted else pytest.raises(ControlError):
        check_caller(request, panel)
    panel.turn({"EMU_CONTROL_ANYWHERE": "1"})
    check_caller(request, panel)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_a_foreign_page_cannot_act(world: World, kind: str) -> None:
    answer = ask(world, "POST", "/reset", data="{}", headers={"Content-Type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("body", ["[]", "{", "7", "\xff"])
def test_what_is_no_object_is_refused(world: World, body: str) -> None:
    answer = ask(world, "POST", "/fault", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("DELETE", "/ledger"), ("GET", "/publish")])
def test_an_unknown_verb_is_said_to_be_unknown(world: World, method: str, path: str) -> None:
    answer = ask(world, method, path)
    assert answer.status_code == 404 and answer.json()["error"]["reason"] == "not_found"


def test_the_clock_is_shown_and_advanced(world: World) -> None:
    before = world.emulator.control("/clock")
    after = world.emulator.control("/clock", {"advance": 90})
    assert before["still"] and after["now"] == before["now"] + 90
    assert ask(world, "POST", "/clock", json={"advance": -1}).status_code == 400
    assert ask(world, "POST", "/clock", json={"advance": 1, "step": 0}).status_code == 400
    assert ask(world, "POST", "/clock", json={}).status_code == 400


def test_faults_are_declared_listed_and_cleared(world: World) -> None:
    now = world.emulator.control("/clock")["now"]
    world.emulator.control("/fault", {"name": "cut", "probability": 0.5})
    listed = world.emulator.control("/fault", {"name": "outage", "for_s": 60})["faults"]
    assert listed == [
        {"name": "cut", "probability": 0.5, "starts_at": now, "ends_at": None},
        {"name": "outage", "probability": 1.0, "starts_at": now, "ends_at": now + 60},
    ]
    assert world.emulator.control("/fault", {"name": "none"}) == world.emulator.control("/fault") == {"faults": []}
    answer = ask(world, "POST", "/fault", json={"name": "rain"})
    assert answer.status_code == 400 and "there are: none, lost-ack" in answer.json()["error"]["detail"]


def test_knobs_are_listed_and_turned(world: World) -> None:
    world.emulator.control("/knobs", {"EMU_RETENTION_S": 10, "EMU_WIRE_FORM": "B", "EMU_SEND_MESSAGE_ID": True})
    listed = world.emulator.control("/knobs")["knobs"]
    assert (listed["EMU_RETENTION_S"], listed["EMU_WIRE_FORM"], listed["EMU_SEND_MESSAGE_ID"]) == (10, "B", True)
    assert ask(world, "POST", "/knobs", json={"EMU_WIRE_FORM": "C"}).status_code == 400


def test_the_ledger_counts_messages_by_subscription(world: World) -> None:
    world.client.subscribe(ASSET, "custaa", "custbb")
    world.app.answer(503, 204)
    world.publish(topic=ASSET, count=3)
    world.advance(10)
    totals = world.delivered()
    assert totals == {**dict.fromkeys(("published", "acknowledged"), 6), "attempts": 7, "expired": 0} | {
        "pending": 0,
        "dropped": 0,
    }


def test_items_come_in_pages_to_the_end(world: World) -> None:
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET, count=5)
    world.delivered()
    first = world.emulator.control("/ledger/items?limit=3")
    second = world.emulator.control(f"/ledger/items?limit=3&after={first['next']}")
    assert [item["number"] for item in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert second["next"] is None
    item = first["items"][0]
    assert (item["tenant"], item["topic"], item["state"]) == ("acmeop", ASSET, "acknowledged")
    for wrong in ("limit=0", "limit=99999", "after=x"):
        assert ask(world, "GET", f"/ledger/items?{wrong}").status_code == 400


def test_a_reset_forgets_the_world_but_not_the_credentials(world: World) -> None:
    before = world.emulator.control("/credentials")
    world.client.subscribe(ASSET)
    world.app.answer(503)
    world.publish(tenant="acmeop", topic=ASSET, count=20)
    world.fault("keys-down")
    world.emulator.control("/facts", {"tenant": "custaa"})
    world.emulator.control("/provision", {"tenants": ["custcc"], "quiet": True})
    world.turn(retention_s=5)
    world.emulator.control("/reset", {})
    world.app.forget()
    assert set(world.emulator.ledger().values()) == {0}
    assert world.emulator.control("/subscriptions")["items"] == []
    assert world.emulator.control("/fault")["faults"] == []
    assert world.emulator.control("/knobs")["knobs"]["EMU_RETENTION_S"] == 345_600
    assert world.emulator.control("/credentials") == before
    world.advance(3600)
    assert world.app.got == [] and set(world.emulator.ledger().values()) == {0}


def test_credentials_of_an_unknown_host_are_refused(world: World) -> None:
    assert ask(world, "GET", "/credentials?tenant=nobody").status_code == 400


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda fields: fields.text("x"), 1),
        (lambda fields: fields.text("x"), None),
        (lambda fields: fields.number("x", high=5), 6),
        (lambda fields: fields.number("x"), float("nan")),
        (lambda fields: fields.number("x"), "many"),
        (lambda fields: fields.number("x"), True),
        (lambda fields: fields.whole("x"), 1.5),
        (lambda fields: fields.flag("x"), 1),
        (lambda fields: fields.words("x"), {"a": 1}),
    ],
)
def test_members_of_the_wrong_kind_are_named(read: Any, value: object) -> None:
    with pytest.raises(ControlError, match="^x must be"):
        read(Fields({"x": value}))
