"""Callback delivery: what is sent, what acknowledges, and the notification sending logic."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from emulator.pelion.callback import sendable
from tests.emulator.pelion.conftest import FULL, PATH, Pelion
from tests.emulator.running import receiver, running_emulator, wait_for


def test_events_come_by_put_with_the_headers(pelion: Pelion) -> None:
    pelion.callback(headers={"X-Secret": "s"})
    pelion.publish(count=3)
    pelion.world.delivered()
    sent = pelion.app.got[-1]
    assert (sent.method, sent.path, sent.headers["x-secret"]) == ("PUT", "/cellar", "s")
    assert sent.headers["content-type"] == "application/json"
    assert [item["path"] for item in sent.json["notifications"]] == [PATH] * 3


def test_the_next_batch_waits_for_the_acknowledgement_of_this_one(pelion: Pelion) -> None:
    pelion.callback()
    answered, entered = threading.Event(), threading.Event()

    def respond(request: object) -> tuple[int, dict[str, str]]:
        entered.set()
        answered.wait(20)
        return 204, {}

    pelion.app.respond = respond
    pelion.publish(count=1)
    entered.wait(20)
    pelion.publish(count=5)
    assert len(pelion.batches()) == 1 and pelion.world.emulator.ledger()["pending"] == 6
    answered.set()
    pelion.world.delivered()
    assert [len(batch["notifications"]) for batch in pelion.batches()] == [1, 5]


def test_a_batch_has_ten_thousand_items_at_most(pelion: Pelion) -> None:
    pelion.callback()
    pelion.app.answer(503, 204)
    pelion.publish(count=1)
    pelion.received(1)
    pelion.publish(count=10_001)
    pelion.world.advance(1)
    pelion.world.delivered()
    assert [len(batch["notifications"]) for batch in pelion.batches()] == [1, 1, 10_000, 1]


def test_a_channel_may_ask_for_smaller_batches(pelion: Pelion) -> None:
    pelion.callback(serialization={"type": "v2", "max_chunk_size": 100})
    pelion.publish(count=250)
    pelion.world.delivered()
    sizes = [len(batch["notifications"]) for batch in pelion.batches()]
    assert max(sizes) <= 100 and sum(sizes) == 250


@pytest.mark.parametrize("status", [200, 204])
def test_200_and_204_acknowledge(pelion: Pelion, status: int) -> None:
    pelion.callback()
    pelion.app.answer(status)
    pelion.publish()
    assert pelion.world.delivered()["acknowledged"] == 1 and len(pelion.batches()) == 1


@pytest.mark.parametrize("status", [201, 202, 301, 400, 401, 404, 413, 500, 503])
def test_every_other_answer_is_tried_again(pelion: Pelion, status: int) -> None:
    pelion.callback()
    pelion.app.answer(status, 200)
    pelion.publish()
    pelion.received(1)
    pelion.world.advance(1)
    assert pelion.world.delivered()["attempts"] == 2
    first, second = pelion.app.got[1:]
    assert first.body == second.body


def test_only_200_acknowledges_if_told(pelion: Pelion) -> None:
    pelion.callback()
    pelion.world.turn(pelion_acknowledging="200")
    pelion.publish()
    pelion.received(1)
    pelion.app.answer(200)
    pelion.world.advance(1)
    assert pelion.world.delivered()["attempts"] == 2


def test_pauses_double_from_one_second_to_two_minutes(pelion: Pelion) -> None:
    pelion.callback()
    times: list[float] = []

    def respond(request: object) -> tuple[int, dict[str, str]]:
        times.append(len(times))
        return 503, {}

    pelion.app.respond = respond
    pelion.publish()
    pelion.received(1)
    pauses = []
    for _ in range(10):
        state = wait_for(lambda: (state := pelion.state()) and state["retry_at"] and state)
        now = pelion.control("/clock")["now"]
        pauses.append(round(state["retry_at"] - now))
        pelion.world.advance(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]


def test_an_answer_later_than_twenty_seconds_is_a_failure(pelion: Pelion) -> None:
    pelion.callback()
    pelion.world.turn(pelion_patience_s=0.05)
    release = threading.Event()

    def respond(request: object) -> tuple[int, dict[str, str]]:
        release.wait(20)
        return 204, {}

    pelion.app.respond = respond
    pelion.publish()
    pelion.received(1)
    pelion.world.advance(19)
    assert pelion.state()["attempts"] == 0  # type: ignore[index]
    pelion.world.advance(1)
    state = wait_for(lambda: (state := pelion.state()) and state["attempts"] and state)
    assert state["retry_at"] == pelion.control("/clock")["now"] + 1  # counted from the end of the time-out
    pelion.app.respond = lambda request: (204, {})
    release.set()
    pelion.world.advance(1)
    assert pelion.world.delivered()["acknowledged"] == 1


def test_24_hours_of_failure_remove_the_channel(pelion: Pelion) -> None:
    with receiver() as gone:
        gone.respond = lambda request: (204, {"Connection": "close"})
        pelion.callback(url=gone.url)
    pelion.publish(count=2)
    wait_for(lambda: (pelion.state() or {}).get("retry_at"))
    pelion.world.advance(timedelta(hours=23, minutes=50).total_seconds())
    assert pelion.state() is not None
    pelion.world.advance(timedelta(minutes=15).total_seconds())
    assert pelion.call("GET", "/v2/notification/callback").status_code == 404
    totals = pelion.world.emulator.ledger()
    assert (totals["dropped"], totals["pending"]) == (2, 0)
    assert pelion.callback().status_code == 204


def test_one_success_starts_the_24_hours_and_the_pauses_anew(pelion: Pelion) -> None:
    pelion.callback()
    pelion.world.fault("outage", for_s=80_000)
    pelion.publish()
    pelion.world.advance(80_000 + 120)
    assert pelion.world.delivered()["acknowledged"] == 1
    pelion.world.fault("outage", for_s=80_000)
    pelion.publish()
    state = wait_for(lambda: (state := pelion.state()) and state["retry_at"] and state)
    assert state["retry_at"] - pelion.control("/clock")["now"] == 1
    pelion.world.advance(80_000)
    assert pelion.state() is not None


def test_a_declared_outage_is_not_sent_into(pelion: Pelion) -> None:
    pelion.callback()
    pelion.app.forget()
    pelion.world.fault("outage", for_s=3600)
    pelion.publish()
    pelion.world.advance(3599)
    assert pelion.app.got == [] and pelion.world.emulator.ledger()["attempts"] > 20
    pelion.world.advance(121)
    assert pelion.world.delivered()["acknowledged"] == 1


def test_a_lost_acknowledgement_is_an_identical_resend(pelion: Pelion) -> None:
    pelion.callback(serialization=FULL)
    pelion.world.fault("lost-ack")
    pelion.publish(count=3)
    pelion.received(1)
    pelion.world.fault("none")
    pelion.publish(count=2)
    pelion.world.advance(1)
    pelion.world.delivered()
    first, second, third = pelion.batches()
    assert first == second and len(third["notifications"]) == 2


def test_a_resend_may_be_cut_anew(pelion: Pelion) -> None:
    pelion.world.turn(pelion_resend="recut", pelion_batch_items=4)
    pelion.callback(serialization=FULL)
    pelion.app.answer(503, 204)
    pelion.publish(count=4)
    pelion.received(1)
    pelion.publish(count=1)
    pelion.world.advance(1)
    pelion.world.delivered()
    sizes = [len(batch["notifications"]) for batch in pelion.batches()]
    assert sizes[0] == 4 and sizes[1] == 2 and sum(sizes[1:]) == 5
    uids = [item["uid"] for batch in pelion.batches()[1:] for item in batch["notifications"]]
    assert len(set(uids)) == 5 and uids[:4] == [item["uid"] for item in pelion.batches()[0]["notifications"]]


def test_an_acknowledged_batch_may_come_twice(pelion: Pelion) -> None:
    pelion.callback(serialization=FULL)
    pelion.world.fault("duplicate")
    pelion.publish(count=2)
    pelion.world.delivered()
    first, second = pelion.batches()
    assert first == second


@pytest.mark.parametrize("fault", ["cut", "slow"])
def test_faults_on_the_way_lose_nothing(pelion: Pelion, fault: str) -> None:
    pelion.callback()
    pelion.world.turn(slow_s=0.05)
    pelion.world.fault(fault, probability=1)
    pelion.publish()
    wait_for(lambda: pelion.world.emulator.ledger()["attempts"])
    pelion.world.fault("none")
    pelion.world.advance(1)
    assert pelion.world.delivered()["acknowledged"] == 1


def test_events_keep_their_order(pelion: Pelion) -> None:
    pelion.callback(serialization=FULL)
    pelion.publish(count=300)
    pelion.world.delivered()
    found = [item["uid"] for item in pelion.items("notifications")]
    assert found == [item["id"] for item in pelion.world.emulator.items()]
    times = [item["timestamp"] for item in pelion.items("notifications")]
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_a_restart_continues_with_the_same_batch(tmp_path: Path) -> None:
    with receiver() as app, running_emulator("--clock", "virtual", state=tmp_path / "e.db") as emulator:
        pelion = Pelion.of(emulator, app)
        pelion.callback(serialization=FULL, headers={"X-Secret": "s"})
        pelion.app.answer(503)
        pelion.publish(count=3)
        first = pelion.received(1)[0]
        wait_for(lambda: (pelion.state() or {}).get("retry_at"))
        emulator.kill()
        emulator.again()
        app.answer(204)
        pelion.world.advance(1)
        assert pelion.world.delivered()["acknowledged"] == 3
        assert pelion.batches()[-1] == first and app.got[-1].headers["x-secret"] == "s"


@pytest.mark.parametrize(
    ("url", "headers", "good"),
    [
        ("https://hooks.example.org/a?b=c", {"X-A": "b"}, True),
        ("http://127.0.0.1:1/", {}, True),
        ("//host/", {}, False),
        ("https://", {}, False),
        ("https://a/ b", {}, False),
        ("https://a/", {"": "x"}, False),
        ("https://a/", {"X": "\0"}, False),
    ],
)
def test_addresses_and_headers_must_be_sendable(url: str, headers: dict[str, str], good: bool) -> None:
    assert sendable(url, headers) is good
