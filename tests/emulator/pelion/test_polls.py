"""The long-poll channel: obsolete, yet what the vendor's own SDK uses first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests

from tests.emulator.pelion.conftest import Pelion
from tests.emulator.running import wait_for

PULL = "/v2/notification/pull"


def test_a_poll_makes_the_channel_and_brings_what_waits(pelion: Pelion) -> None:
    assert pelion.call("GET", f"{PULL}?noWait=true").status_code == 204
    assert pelion.call("GET", "/v2/notification/channel").json() == {"delivery_mechanism": "LONG_POLLING"}
    pelion.publish(count=2)
    answer = pelion.call("GET", PULL)
    assert answer.status_code == 200 and len(answer.json()["notifications"]) == 2
    assert pelion.call("GET", f"{PULL}?noWait=true").status_code == 204


def test_a_waiting_poll_is_answered_by_an_event_or_by_time(pelion: Pelion) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(_poll, pelion)
        wait_for(lambda: (pelion.state() or {}).get("connected"))
        assert pelion.call("GET", PULL).status_code == 409
        pelion.publish()
        assert first.result(20) == 200
        wait_for(lambda: not (pelion.state() or {}).get("connected"))
        second = pool.submit(_poll, pelion)
        wait_for(lambda: (pelion.state() or {}).get("connected"))
        pelion.world.advance(30)
        assert second.result(20) == 204


def _poll(pelion: Pelion) -> int:
    headers = {"Authorization": f"Bearer {pelion.keys['cellar']}"}
    with requests.Session() as session:
        session.trust_env = False
        return session.get(pelion.host + PULL, headers=headers).status_code


def test_a_deletion_is_never_a_404(pelion: Pelion) -> None:
    assert pelion.call("DELETE", PULL).text == "ALREADY_DELETED"
    pelion.call("GET", f"{PULL}?noWait=true")
    answer = pelion.call("DELETE", PULL)
    assert (answer.status_code, answer.text) == (200, "REMOVED")


def test_after_a_deletion_polls_may_meet_410(pelion: Pelion) -> None:
    pelion.world.turn(pelion_purge_s=120)
    pelion.call("GET", f"{PULL}?noWait=true")
    pelion.call("DELETE", PULL)
    answer = pelion.call("GET", PULL)
    assert (answer.status_code, answer.text) == (410, "CHANNEL_DELETED")
    pelion.world.advance(120)
    assert pelion.call("GET", f"{PULL}?noWait=true").status_code == 204


def test_ten_minutes_without_a_poll_end_the_channel(pelion: Pelion) -> None:
    pelion.call("GET", f"{PULL}?noWait=true")
    pelion.world.advance(599)
    assert pelion.state() is not None
    pelion.world.advance(1)
    assert pelion.state() is None
