"""Commands to devices that sleep, expire or go away."""

from __future__ import annotations

from tests.emulator.pelion.conftest import DEVICE, SLEEPER, Pelion
from tests.emulator.running import wait_for

COUNTER = "/3200/0/5501"


def ask(pelion: Pelion, id: str, ep: str = SLEEPER, **query: int) -> None:
    numbers = "".join(f"&{name}={value}" for name, value in query.items())
    path = f"/v2/device-requests/{ep}?async-id={id}{numbers}"
    assert pelion.call("POST", path, json={"method": "GET", "uri": COUNTER}).status_code == 202


def answers(pelion: Pelion, count: int) -> list[tuple[str, int, str | None]]:
    wait_for(lambda: len(pelion.items("async-responses")) >= count)
    return [(entry["id"], entry["status"], entry.get("error")) for entry in pelion.items("async-responses")]


def test_a_sleeping_device_answers_in_order_when_it_is_back(pelion: Pelion) -> None:
    pelion.callback()
    pelion.act("sleep", SLEEPER)
    for id in ("a", "b"):
        ask(pelion, id)
    assert pelion.batches() == []
    pelion.act("wake", SLEEPER)
    assert answers(pelion, 2) == [("a", 200, None), ("b", 200, None)]


def test_a_command_expires(pelion: Pelion) -> None:
    pelion.callback()
    pelion.act("sleep", SLEEPER)
    ask(pelion, "a", **{"expiry-seconds": 60})
    pelion.world.advance(60)
    assert answers(pelion, 1) == [("a", 429, "REQUEST_EXPIRED")]


def test_a_device_that_leaves_takes_its_commands_along(pelion: Pelion) -> None:
    pelion.callback()
    pelion.act("sleep", SLEEPER)
    ask(pelion, "a")
    pelion.act("deregister", SLEEPER)
    assert answers(pelion, 1) == [("a", 429, "DEVICE_REMOVED_REGISTRATION")]


def test_out_of_reach_and_not_in_queue_mode_is_a_timeout(pelion: Pelion) -> None:
    pelion.callback()
    pelion.act("sleep")
    ask(pelion, "a", DEVICE)
    assert answers(pelion, 1) == [("a", 504, "TIMEOUT")]


def test_a_device_refuses_what_it_cannot(pelion: Pelion) -> None:
    pelion.callback()
    for id, method, uri in (("a", "DELETE", COUNTER), ("b", "GET", "/9/9/9"), ("c", "POST", COUNTER)):
        path = f"/v2/device-requests/{SLEEPER}?async-id={id}"
        pelion.call("POST", path, json={"method": method, "uri": uri})
    found = answers(pelion, 3)
    assert found == [("a", 400, "METHOD_NOT_ALLOWED"), ("b", 404, "NOT_FOUND"), ("c", 200, None)]
