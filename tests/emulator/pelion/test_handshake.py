"""The opening of a WebSocket: what is asked for, in which order, and who is let in."""

from __future__ import annotations

import pytest
import websocket

from tests.emulator.pelion.conftest import Pelion

CONNECT = "/v2/notification/websocket-connect"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


def refused(pelion: Pelion, **how: object) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        pelion.connect(**how)  # type: ignore[arg-type]
    return caught.value.status_code


@pytest.mark.parametrize("bearer", [True, False])
def test_the_key_comes_as_a_subprotocol_or_as_a_bearer(pelion: Pelion, bearer: bool) -> None:
    pelion.websocket()
    socket = pelion.connect(bearer=bearer)
    pelion.connected()
    assert socket.subprotocol == "wss"


def test_a_handshake_that_is_none_is_refused(pelion: Pelion) -> None:
    assert pelion.call("GET", CONNECT).status_code == 426
    assert pelion.call("GET", CONNECT, headers=UPGRADE).status_code == 400  # no Sec-WebSocket-Key
    assert refused(pelion, key="ak_1wrong") == 401
    assert refused(pelion, key="ak_1wrong", bearer=True) == 401
    pelion.world.fault("ws-429")
    assert refused(pelion) == 429


def test_a_key_without_the_subprotocol_beside_it_is_refused(pelion: Pelion) -> None:
    headers = {**UPGRADE, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Authorization": None}
    offered = {"Sec-WebSocket-Protocol": f"pelion_{pelion.keys['cellar']}"}
    assert pelion.call("GET", CONNECT, headers=headers | offered).status_code == 400
    assert pelion.call("GET", CONNECT, headers=headers).status_code == 401
