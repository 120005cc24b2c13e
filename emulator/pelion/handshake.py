"""The WebSocket handshake: what a request must say, and whose key it carries.

Follows ``websocket-connect`` of the API contract: 426 without an upgrade, 400 where a header is missing, 401
without a good key. The key is a bearer, or the subprotocol ``pelion_<key>`` beside ``wss``. ``Origin`` may be
missing, several libraries leave it out; that the key needs ``wss`` beside it is assumed.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from emulator.pelion.errors import Refusal
from emulator.pelion.registry import Key, Registry

PROTOCOL, KEY_PREFIX = "wss", "pelion_"


def check_upgrade(request: web.Request) -> None:
    """426 if no upgrade is asked for, 400 if its headers are not complete."""
    connection = request.headers.get(hdrs.CONNECTION, "").lower()
    if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket" or "upgrade" not in connection:
        raise Refusal(426, "send Connection: Upgrade and Upgrade: websocket")
    if request.headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13" or hdrs.SEC_WEBSOCKET_KEY not in request.headers:
        raise Refusal(400, "Sec-WebSocket-Version 13 and Sec-WebSocket-Key are needed")


def key_of(request: web.Request, registry: Registry) -> Key:
    """From the header ``Authorization``, or among the subprotocols."""
    if hdrs.AUTHORIZATION in request.headers:
        return registry.caller(request)
    offered = [word.strip() for word in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
    key = next((word.removeprefix(KEY_PREFIX) for word in offered if word.startswith(KEY_PREFIX)), None)
    if key is None:
        raise Refusal(401, "the key is missing")
    if PROTOCOL not in offered:
        raise Refusal(400, "offer the subprotocol wss beside the key")  # the one with the key cannot be selected
    return registry.key(key)
