"""The AsyncAPI document: a channel a topic, references that lead somewhere, payloads as the items are."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import orjson

from subscriber.web.api.asyncapi import document
from tests.web.api.world import TOPIC, World

ASSET = {"type": "object", "properties": {"asset": {"type": "object"}}, "required": ["asset"]}
MADE = document("alarmapi", {("mindsphere", TOPIC): ASSET, ("pelion", "reg-updates"): {}})


def led_to(reference: str) -> Any:
    found: Any = MADE
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_each_topic_has_a_channel_with_its_message() -> None:
    assert [channel["address"] for channel in MADE["channels"].values()] == [TOPIC, "reg-updates"]
    for channel in MADE["channels"].values():
        ((name, message),) = channel["messages"].items()
        assert led_to(message["$ref"])["name"] == channel["address"]
        assert re.fullmatch(r"[A-Za-z0-9_-]+", name)


def test_every_reference_leads_somewhere() -> None:
    references = re.findall(r'"\$ref":"([^"]+)"', orjson.dumps(MADE).decode())
    assert references and all(led_to(reference) for reference in references)


def test_an_item_is_a_message_of_its_topic_and_of_no_other(world: World) -> None:
    world.arrive("one", body=b'{"asset":{"id":"a"}}')
    (item,) = world.listed()["items"]
    checks = {
        name: jsonschema.Draft202012Validator({**message["payload"], "components": MADE["components"]})
        for name, message in MADE["components"]["messages"].items()
    }
    fits = {name for name, check in checks.items() if check.is_valid(item)}
    assert fits == {f"mindsphere-{TOPIC.replace('.', '_')}"}


def test_the_served_document_tells_of_the_topics_of_the_settings(world: World) -> None:
    told = world.get("/api/asyncapi.json").json
    assert told["asyncapi"] == "3.0.0"
    addresses = {channel["address"] for channel in told["channels"].values()}
    settings = world.services.settings.mindsphere
    assert settings and addresses == {*settings.topics, settings.provisioning_topic}
