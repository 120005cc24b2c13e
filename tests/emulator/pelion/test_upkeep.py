"""What time does to queues and channels."""

from __future__ import annotations

from tests.emulator.pelion.conftest import Pelion

HOUR = 3600


def test_an_event_waits_for_24_hours(pelion: Pelion) -> None:
    pelion.world.turn(pelion_disconnected_s=10**6)
    pelion.websocket()
    pelion.publish(count=2)
    pelion.world.advance(HOUR)
    pelion.publish(count=3)
    pelion.world.advance(23 * HOUR)
    totals = pelion.world.emulator.ledger()
    assert (totals["expired"], totals["pending"]) == (2, 3)
    assert len(pelion.connect().got(1)[0]["notifications"]) == 3


def test_48_hours_without_events_end_a_channel(pelion: Pelion) -> None:
    pelion.callback()
    pelion.world.advance(47 * HOUR)
    pelion.publish()
    pelion.world.advance(47 * HOUR)
    assert pelion.state() is not None
    pelion.world.advance(HOUR)
    assert pelion.state() is None


def test_when_the_queue_is_full_the_oldest_go(pelion: Pelion) -> None:
    pelion.world.turn(pelion_queue_bytes=10_000)
    pelion.websocket()
    pelion.publish(count=100)
    state, totals = pelion.state(), pelion.world.emulator.ledger()
    assert state and 9_000 < state["waiting_bytes"] <= 10_000
    assert totals["dropped"] == 100 - state["waiting"]
    kept = [item["number"] for item in pelion.world.emulator.items() if item["state"] == "pending"]
    assert kept == [item["number"] for item in pelion.world.emulator.items()][-len(kept) :]


def test_without_a_channel_events_are_gone(pelion: Pelion) -> None:
    assert pelion.publish(count=5) == {"messages": 5, "published": 0}
    pelion.websocket()
    state = pelion.state()
    assert state and state["waiting"] == 0
