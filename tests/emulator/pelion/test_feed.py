"""Events into queues, in numbers that can be predicted."""

from __future__ import annotations

from tests.emulator.pelion.conftest import FULL, Pelion


def test_publishing_is_for_the_named_channel_subscribed_or_not(pelion: Pelion) -> None:
    pelion.websocket()
    pelion.websocket("gates")
    assert pelion.publish(pelion.keys["gates"], count=7) == {"messages": 7, "published": 7}
    assert [entry["waiting"] for entry in pelion.control("/pelion/channels")["channels"]] == [0, 7]


def test_a_share_comes_twice_with_the_same_id(pelion: Pelion) -> None:
    pelion.callback(serialization=FULL)
    pelion.publish(count=40, duplicate=0.5)
    totals = pelion.world.delivered()
    found = [item["uid"] for item in pelion.items("notifications")]
    assert totals["acknowledged"] == 40 == len(set(found)) < len(found) == totals["attempts"]


def test_a_share_falls_back(pelion: Pelion) -> None:
    pelion.websocket(serialization=FULL)
    pelion.publish(count=40, reorder=0.5)
    socket = pelion.connect()
    socket.got(1)
    order = [item["id"] for item in pelion.world.emulator.items()]
    found = [item["uid"] for item in socket.items("notifications")]
    assert sorted(found) == sorted(order) and found != order
