"""Pelion as a whole: credentials, addresses, reset, restart."""

from __future__ import annotations

import json
from pathlib import Path

from tests.emulator.pelion.conftest import DEVICE, PATH, Pelion
from tests.emulator.running import receiver, running_emulator


def test_credentials_have_the_contracts_members(pelion: Pelion) -> None:
    found = pelion.credentials
    assert found["host"] == f"{pelion.world.emulator.url}/pelion"
    assert found["api_keys"] == list(pelion.keys.values()) and found["devices"][0] == DEVICE
    channels = json.loads(pelion.world.emulator.environment()["PELION_CHANNELS"])
    assert channels == found["channels"]
    assert set(channels[0]) == {"name", "api_key", "host", "mode", "presubscriptions"}


def test_a_reset_leaves_the_keys_and_nothing_else(pelion: Pelion) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.callback("gates")
    pelion.subscribe()
    pelion.value("99")
    pelion.publish(count=3)
    pelion.control("/reset", {})
    assert socket.ended() in (1000, 1012)
    assert pelion.control("/pelion/channels") == {"channels": []}
    assert pelion.control("/credentials")["pelion"] == pelion.credentials
    assert pelion.call("GET", f"/v2/subscriptions/{DEVICE}").status_code == 404
    devices = {entry["ep"]: entry for entry in pelion.control("/pelion/devices")["devices"]}
    assert devices[DEVICE]["resources"][PATH] == "MjEuNQ=="
    assert set(pelion.world.emulator.ledger().values()) == {0}


def test_everything_survives_a_kill(tmp_path: Path) -> None:
    with receiver() as app, running_emulator("--clock", "virtual", state=tmp_path / "e.db") as emulator:
        pelion = Pelion.of(emulator, app)
        pelion.websocket()
        pelion.subscribe()
        pelion.call("PUT", "/v2/subscriptions", json=[{"endpoint-type": "gate"}])
        pelion.value("99")
        before = (pelion.state(), emulator.ledger(), emulator.items())
        emulator.kill()
        emulator.again()
        assert (pelion.state(), emulator.ledger(), emulator.items()) == before
        assert pelion.call("GET", f"/v2/subscriptions/{DEVICE}{PATH}").status_code == 200
        assert pelion.call("GET", "/v2/subscriptions").json() == [{"endpoint-type": "gate"}]
        assert len(pelion.connect().got(1)[0]["notifications"]) == 1


def test_the_ledger_is_one_for_all_platforms(pelion: Pelion) -> None:
    pelion.websocket()
    pelion.publish(count=4)
    items = pelion.world.emulator.items()
    assert [item["platform"] for item in items] == ["pelion"] * 4
    assert pelion.world.emulator.ledger()["published"] == 4


def test_the_ledger_is_read_page_by_page_to_its_end(pelion: Pelion) -> None:
    """Numbers that lay beyond the ledger's own ended the list with the first page."""
    pelion.websocket()
    pelion.publish(count=5)
    found, after = [], 0
    while after is not None:
        page = pelion.control(f"/ledger/items?after={after}&limit=2")
        found += [item["id"] for item in page["items"]]
        after = page["next"]
    assert len(set(found)) == 5
