"""Pelion's control verbs: what they do and what they refuse."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.verbs import main
from tests.emulator.pelion.conftest import DEVICE, Pelion


def test_the_verb_publishes_by_name_and_by_key(pelion: Pelion) -> None:
    pelion.websocket()
    port = str(pelion.world.emulator.port)
    for tenant in ("cellar", pelion.keys["cellar"]):
        args = ["publish", "--tenant", f"pelion/{tenant}", "--topic", "reg-updates", "--count", "5", "--json"]
        result = CliRunner().invoke(main, [*args, "--port", port])
        assert json.loads(result.stdout) == {"messages": 5, "published": 5}, result.output
    [message] = pelion.connect().got(1)
    assert len(message["reg-updates"]) == 10


def test_given_items_are_queued_one_by_one(pelion: Pelion, tmp_path: Path) -> None:
    pelion.callback()
    document = {
        "notifications": [{"ep": "d", "path": "/1"}] * 2,
        "de-registrations": ["d"],
        "device-deletions": ["d"],
    }
    raw = base64.b64encode(json.dumps(document).encode()).decode()
    assert pelion.publish(body_base64=raw) == {"messages": 4, "published": 4}
    pelion.world.delivered()
    for category, items in document.items():
        assert pelion.items(category) == items


def test_a_device_may_be_new(pelion: Pelion) -> None:
    made = pelion.act("register", "d9", name="new-01", type="valve", resources={"/1/0/1": "on"})
    assert (made["name"], made["type"], made["state"]) == ("new-01", "valve", "registered")
    pelion.websocket()
    pelion.subscribe("/1/0/1", "d9")
    assert pelion.value("off", "d9", "/1/0/1") == 1


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/publish", {"tenant": "pelion/nobody"}),
        ("/publish", {"tenant": "pelion/cellar", "topic": "rain"}),
        ("/publish", {"tenant": "pelion/cellar", "count": 10**9}),
        ("/publish", {"tenant": "pelion/cellar", "body": "{"}),
        ("/publish", {"tenant": "pelion/cellar", "body": {"notifications": [1]}}),
        ("/publish", {"tenant": "pelion/cellar", "body": {"rain": []}}),
        ("/pelion/devices", {"act": "fly", "ep": DEVICE}),
        ("/pelion/devices", {"act": "update", "ep": "none"}),
        ("/pelion/devices", {"ep": "d", "account": "nobody"}),
        ("/pelion/devices", {"ep": DEVICE, "resources": {"/1": 1}}),
        ("/pelion/values", {"ep": DEVICE, "value_base64": "?"}),
        ("/pelion/close", {"tenant": "cellar", "code": 1002}),
        ("/pelion/keys", {"application": "cellar", "account": "borealis"}),
    ],
)
def test_misuse_is_told(pelion: Pelion, path: str, members: dict[str, Any]) -> None:
    answer = pelion.world.client.session.post(f"{pelion.world.emulator.url}/_control{path}", json=members)
    assert answer.status_code == 400 and answer.json()["error"]["reason"] == "misuse"
