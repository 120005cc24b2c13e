"""WebSocket channels over real sockets: handshake, pushing, pings, and the ways a socket ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import websocket

from tests.emulator.pelion.conftest import FULL, Pelion
from tests.emulator.running import receiver, running_emulator, wait_for

WEBSOCKET = "/v2/notification/websocket"
DAY = 86_400


def disconnected(pelion: Pelion) -> None:
    wait_for(lambda: (state := pelion.state()) and not state["connected"])


def test_events_are_collected_at_once_and_delivered_when_the_socket_opens(pelion: Pelion) -> None:
    pelion.websocket(serialization=FULL)
    pelion.publish(count=3)
    assert pelion.call("GET", WEBSOCKET).json()["status"] == "disconnected"
    socket = pelion.connect()
    assert len(socket.got(1)[0]["notifications"]) == 3
    assert pelion.call("GET", WEBSOCKET).json()["status"] == "connected"
    pelion.publish(count=2)
    wait_for(lambda: len(socket.items("notifications")) == 5)
    assert pelion.world.emulator.ledger()["acknowledged"] == 5


def test_without_a_channel_the_socket_opens_and_is_closed(pelion: Pelion) -> None:
    assert pelion.connect().ended() == 1011
    pelion.callback()
    assert pelion.connect().ended() == 1011


def test_a_channel_may_become_visible_later(pelion: Pelion) -> None:
    pelion.world.turn(pelion_visible_after_s=5)
    pelion.websocket()
    assert pelion.connect().ended() == 1011
    pelion.world.advance(5)
    pelion.connect()
    pelion.connected()


def test_the_newcomer_takes_the_channel(pelion: Pelion) -> None:
    pelion.websocket()
    first = pelion.connect()
    pelion.connected()
    second = pelion.connect()
    assert first.ended() == 1001 and "took over" in first.reason
    pelion.publish(count=1)
    assert len(second.got(1)) == 1 and first.messages == []


def test_pings_have_four_bytes_and_want_them_back(pelion: Pelion) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    pelion.world.advance(60)
    assert len(socket.pings) == 2 and {len(ping) for ping in socket.pings} == {4}
    assert pelion.control("/pelion/ping", {"tenant": "cellar"}) == {"pinged": True}
    wait_for(lambda: len(socket.pings) == 3)
    assert socket.code is None


@pytest.mark.parametrize("manners", [{"pongs": False}, {"other_bytes": True}])
def test_a_ping_without_its_echo_ends_the_socket(pelion: Pelion, manners: dict[str, bool]) -> None:
    pelion.world.turn(pelion_patience_s=0.05)
    pelion.websocket()
    socket = pelion.connect(**manners)
    pelion.connected()
    pelion.world.advance(40)
    assert socket.ended() == 1001 and "ping" in socket.reason
    assert pelion.call("GET", WEBSOCKET).json()["status"] == "disconnected"


def test_in_running_time_a_missing_echo_needs_no_leap(tmp_path: Path) -> None:
    knobs = [word for name in ("PING_S=0.2", "PONG_S=0.2") for word in ("--knob", f"EMU_PELION_{name}")]
    with receiver() as app, running_emulator(*knobs) as emulator:
        pelion = Pelion.of(emulator, app)
        pelion.websocket()
        polite, rude = pelion.connect(), pelion.connect(pongs=False)
        assert polite.ended() == 1001 and "took over" in polite.reason
        assert rude.ended() == 1001 and "ping" in rude.reason


def test_deleting_the_channel_closes_the_socket(pelion: Pelion) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    assert pelion.call("DELETE", WEBSOCKET).status_code == 204
    assert socket.ended() == 1000


def test_a_lost_key_closes_the_socket(pelion: Pelion) -> None:
    second = pelion.control("/pelion/keys", {"application": "cellar"})["key"]
    pelion.websocket()
    socket = pelion.connect(key=second)
    pelion.connected()
    pelion.control("/pelion/keys/revoke", {"key": second})
    assert socket.ended() == 1008
    with pytest.raises(websocket.WebSocketBadStatusException):
        pelion.connect(key=second)


def test_a_close_frame_of_the_client_ends_the_channel_too(pelion: Pelion) -> None:
    pelion.websocket()
    pelion.connect().close()
    wait_for(lambda: pelion.state() is None)
    assert pelion.websocket().status_code == 201


def test_a_close_frame_may_leave_the_channel(pelion: Pelion) -> None:
    pelion.world.turn(pelion_client_close="keep")
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    socket.close()
    disconnected(pelion)
    assert pelion.websocket().status_code == 200


def test_a_broken_connection_leaves_the_channel_storing_for_24_hours(pelion: Pelion) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    socket.drop()
    disconnected(pelion)
    pelion.publish(count=4)
    pelion.world.advance(DAY - 10)
    assert pelion.call("GET", WEBSOCKET).json()["queue_size"] == 4
    pelion.world.advance(20)
    assert pelion.call("GET", WEBSOCKET).status_code == 404
    assert pelion.world.emulator.ledger()["pending"] == 0


def test_a_socket_without_events_is_closed_after_24_hours(pelion: Pelion) -> None:
    pelion.world.turn(pelion_ping_s=7200)
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    pelion.world.advance(DAY / 2)
    pelion.publish()
    socket.got(1)
    pelion.world.advance(DAY - 60)
    assert socket.code is None and len(socket.pings) > 10
    pelion.world.advance(60)
    assert socket.ended() == 1000
    assert pelion.state() is not None


def test_what_a_client_sends_is_ignored(pelion: Pelion) -> None:
    pelion.websocket()
    socket = pelion.connect()
    pelion.connected()
    socket.send("hello")
    pelion.publish()
    assert len(socket.got(1)) == 1


def test_a_stop_says_that_the_service_restarts_and_loses_nothing(tmp_path: Path) -> None:
    with receiver() as app, running_emulator(state=tmp_path / "e.db") as emulator:
        pelion = Pelion.of(emulator, app)
        pelion.websocket()
        socket = pelion.connect()
        pelion.connected()
        assert emulator.stop() == 0
        assert socket.ended() == 1012
        emulator.again()
        assert pelion.call("GET", WEBSOCKET).json()["status"] == "disconnected"
        pelion.publish(count=2)
        emulator.kill()
        emulator.again()
        assert len(pelion.connect().got(1)[0]["notifications"]) == 2
