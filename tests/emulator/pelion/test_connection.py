"""How a connected client is told to go."""

from __future__ import annotations

import pytest

from tests.emulator.pelion.conftest import Pelion
from tests.emulator.pelion.socket import ABNORMAL


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012])
def test_a_socket_ends_on_demand(pelion: Pelion, code: int) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    assert pelion.control("/pelion/close", {"tenant": "cellar", "code": code}) == {"closed": True}
    assert socket.ended() == code
    assert pelion.state() is not None  # the channel goes on storing
    assert pelion.control("/pelion/close", {"tenant": "cellar", "code": code}) == {"closed": False}


def test_a_connection_breaks_on_demand(pelion: Pelion) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    pelion.control("/pelion/close", {"tenant": "cellar", "code": 1006})
    assert socket.ended() == ABNORMAL
    pelion.publish(count=2)
    assert len(pelion.connect().got(1)[0]["notifications"]) == 2
