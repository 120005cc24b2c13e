"""The AsyncAPI 3.0 document: what arrives on the stream, per topic, made from the codecs' schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping

from subscriber.web.api.items import NOTIFICATION, Json
from subscriber.web.api.openapi import API_VERSION, JSON

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")  # names of channels and messages


def document(app: str, arriving: Mapping[tuple[str, str], Json]) -> Json:
    """``arriving``: (platform, topic) → schema of its payloads."""
    named = {_name(platform, topic): (platform, topic, shape) for (platform, topic), shape in arriving.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Notifications of {app}",
            "version": API_VERSION,
            "description": "Each message is the data of one event on /api/stream, and an item of /api/notifications. "
            "The address of a channel is the topic: ask for one by the parameters `platform` and `topic`.",
        },
        "defaultContentType": JSON,
        "channels": {name: _channel(name, *about[:2]) for name, about in named.items()},
        "operations": {f"tell-{name}": _operation(name) for name in named},
        "components": {
            "schemas": {"Notification": NOTIFICATION},
            "messages": {name: _message(*about) for name, about in named.items()},
        },
    }


def _name(platform: str, topic: str) -> str:
    return NOT_IN_NAMES.sub("_", f"{platform}-{topic}")


def _channel(name: str, platform: str, topic: str) -> Json:
    return {
        "address": topic,
        "title": f"{topic} of {platform}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(name: str) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _message(platform: str, topic: str, shape: Json) -> Json:
    about = {"platform": {"const": platform}, "topic": {"const": topic}}
    payload = {"anyOf": [shape, {"type": "null"}], "description": "null once its retention has ended"}
    return {
        "name": topic,
        "title": f"{topic} of {platform}",
        "contentType": JSON,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Notification"},
                {"type": "object", "properties": {**about, "payload": payload}},
            ]
        },
    }
