"""Deliveries: one POST per message and subscription, until a 2xx or until four days are over."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event
from typing import Any

import jwt
import pytest

from emulator.mindsphere.topics import TOPICS
from tests.emulator.conftest import World
from tests.emulator.running import Client, Received, receiver, running_emulator, wait_for

ASSET, EVENTS = TOPICS["asset"], TOPICS["eventnotification"]
DAY = 86_400


def claims(request: Received) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(request.token, options={"verify_signature": False})
    return decoded


def test_a_message_reaches_the_subscriptions_of_its_context_once_each(world: World) -> None:
    """C9"""
    world.client.subscribe(ASSET, "custaa", "custbb")
    world.client.subscribe(EVENTS, "custaa")
    world.publish(tenant="custaa", topic=ASSET)
    assert world.delivered() == {
        **{"published": 1, "attempts": 1, "acknowledged": 1},
        **{"expired": 0, "pending": 0, "dropped": 0},
    }
    (got,) = world.app.got
    assert (got.method, got.path) == ("POST", "/notifications")
    assert got.headers["content-type"] == "application/json"
    assert got.json["header"] == {"topic": ASSET, "tenantContext": ["custaa"]}


def test_two_versions_of_an_application_are_called_separately(world: World) -> None:
    """C7, C9: one POST per subscription."""
    newer = world.emulator.control("/applications", {"version": "v1.5.0"})
    credentials = world.client.credentials | {"version": "v1.5.0", "client_id": newer["client_id"]}
    client = Client(credentials | {"client_secret": newer["client_secret"]})
    world.client.subscribe(ASSET)
    client.subscribe(ASSET)
    assert world.publish(tenant="acmeop", topic=ASSET) == {"messages": 1, "published": 2}
    world.delivered()
    assert len(world.app.got) == 2 and world.app.got[0].body == world.app.got[1].body
    client.close()


def test_a_context_of_several_tenants_reaches_each_of_them(world: World) -> None:
    """C9"""
    world.client.subscribe(ASSET, "custaa", "custbb")
    world.publish(context=["custaa", "custbb", "acmeop"], topic=ASSET)
    world.delivered()
    assert [got.json["header"]["tenantContext"] for got in world.app.got] == [["custaa", "custbb", "acmeop"]] * 2
    assert {claims(got)["ten"] for got in world.app.got} == {"custaa", "custbb"}


def test_the_token_of_a_delivery_verifies_and_carries_the_mapped_scopes(world: World) -> None:
    """C3, C12: scopes as mapped at the time of the attempt."""
    world.client.subscribe(ASSET, "custaa")
    world.publish(tenant="custaa", topic=ASSET)
    world.delivered()
    world.emulator.control("/applications", {"broker_scopes": ["alarmapi.notify", "alarmapi.extra"]})
    world.publish(tenant="custaa", topic=ASSET)
    world.delivered()
    first, second = world.app.got
    assert claims(first)["scope"] == ["alarmapi.notify"]
    assert claims(second)["scope"] == ["alarmapi.notify", "alarmapi.extra"]
    keys = world.client.session.get(claims(first)["iss"].removesuffix("/oauth/token") + "/token_keys").json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(first.token)["kid"]]
    assert jwt.decode(first.token, key, algorithms=["RS256"], audience="alarmapi")["ten"] == "custaa"


def test_without_a_scope_mapping_nothing_arrives_until_it_is_made(world: World) -> None:
    """C12"""
    world.client.subscribe(ASSET)
    world.emulator.control("/applications", {"broker_scopes": []})
    world.publish(tenant="acmeop", topic=ASSET)
    world.advance(60)
    (item,) = world.emulator.items()
    assert (item["state"], item["outcome"], world.app.got) == ("pending", "403", [])
    assert item["attempts"] > 2
    world.emulator.control("/applications", {"broker_scopes": ["alarmapi.notify"]})
    world.advance(900 * 1.2)
    assert world.delivered()["acknowledged"] == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226])
def test_any_2xx_ends_it(world: World, status: int) -> None:
    """C10"""
    world.client.subscribe(ASSET)
    world.app.answer(status)
    world.publish(tenant="acmeop", topic=ASSET)
    world.delivered()
    world.advance(DAY)
    assert len(world.app.got) == 1


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 410, 413, 429, 500, 503])
def test_every_other_answer_is_tried_again(world: World, status: int) -> None:
    """C10: also redirects, which are not followed, and every 4xx."""
    world.client.subscribe(ASSET)
    world.app.answer(status, status, 204)
    world.publish(tenant="acmeop", topic=ASSET)
    wait_for(lambda: world.emulator.ledger()["attempts"] == 1)
    world.advance(20)
    assert world.emulator.ledger()["acknowledged"] == 1
    (item,) = world.emulator.items()
    assert (item["attempts"], item["acknowledged"], item["outcome"]) == (3, 1, "204")
    assert len({got.body for got in world.app.got}) == 1


def test_pauses_grow_as_the_knobs_say(world: World) -> None:
    """C10: the timing is assumed."""
    world.turn(retry_base_s=10, retry_factor=3, retry_max_s=50, retry_jitter=0)
    world.client.subscribe(ASSET)
    world.app.answer(500)
    world.publish(tenant="acmeop", topic=ASSET)
    wait_for(lambda: world.emulator.ledger()["attempts"] == 1)
    seen = []
    for seconds in (9, 2, 28, 2, 48, 3, 46, 4):
        world.advance(seconds)
        seen.append(world.emulator.ledger()["attempts"])
    assert seen == [1, 2, 2, 3, 3, 4, 4, 5]


def test_after_four_days_the_message_is_dropped_for_good(world: World) -> None:
    """C10"""
    world.turn(retry_base_s=600, retry_max_s=20_000)
    world.client.subscribe(ASSET)
    world.app.answer(500)
    world.publish(tenant="acmeop", topic=ASSET)
    world.advance(4 * DAY - 60)
    assert world.emulator.ledger()["pending"] == 1
    world.advance(120)
    assert world.emulator.ledger()["expired"] == 1
    tried = len(world.app.got)
    world.app.answer(204)
    world.advance(4 * DAY)
    assert len(world.app.got) == tried and tried > 10
    assert world.emulator.items()[0]["state"] == "expired"


def test_an_unreachable_application_costs_an_attempt(world: World) -> None:
    """C10"""
    with receiver() as gone:
        world.emulator.control("/applications", {"direct_url": gone.url})
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    assert wait_for(lambda: world.emulator.items()[0]["outcome"]) == "502"


def test_an_application_too_slow_costs_an_attempt_and_gets_it_again(world: World) -> None:
    """C10: a time-out is no acknowledgement, whatever the application did."""
    release = Event()
    world.turn(response_timeout_s=0.1)
    world.app.respond = lambda request: (204 if release.wait(5) else 500, {})
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    assert wait_for(lambda: world.emulator.items()[0]["outcome"]) == "504"
    release.set()
    world.advance(10)
    assert world.emulator.ledger()["acknowledged"] == 1 and len(world.app.got) == 2


def test_a_lost_acknowledgement_is_a_redelivery(world: World) -> None:
    """C11: the application did answer 2xx."""
    world.client.subscribe(ASSET)
    world.fault("lost-ack")
    world.publish(tenant="acmeop", topic=ASSET)
    assert wait_for(lambda: world.emulator.items()[0]["outcome"]) == "lost-ack"
    world.fault("none")
    world.advance(10)
    assert world.emulator.items()[0]["acknowledged"] == 1
    assert [got.body for got in world.app.got] == [world.app.got[0].body] * 2


def test_a_share_is_sent_again_after_its_2xx(world: World) -> None:
    """C11: at least once."""
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET, count=300, duplicate=0.2)
    totals = world.delivered()
    assert totals["acknowledged"] == totals["published"] == 300
    copies = Counter(Counter(got.body for got in world.app.got).values())
    assert set(copies) == {1, 2} and 30 < copies[2] < 90
    assert totals["attempts"] == 300 + copies[2]
    assert sorted(item["acknowledged"] for item in world.emulator.items()).count(2) == copies[2]


def test_the_fault_duplicate_does_the_same_to_what_comes(world: World) -> None:
    """C11"""
    world.client.subscribe(ASSET)
    world.fault("duplicate")
    world.publish(tenant="acmeop", topic=ASSET, count=10)
    assert world.delivered()["attempts"] == 20


def order_of(world: World, **plan: float) -> list[int]:
    """The order of arrival of 100 messages, one connection at a time."""
    world.turn(max_inflight_per_sub=1)
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET, count=100, **plan)
    world.delivered()
    stamps = [got.json["asset"]["timestamp"] for got in world.app.got]
    return [sorted(stamps).index(stamp) for stamp in stamps]


def test_messages_come_in_order_only_if_nothing_is_in_the_way(world: World) -> None:
    """C11"""
    assert order_of(world) == list(range(100))


def test_a_share_falls_back_in_the_queue(world: World) -> None:
    """C11: out of order."""
    order = order_of(world, reorder=0.3)
    assert order != list(range(100)) and sorted(order) == list(range(100))


def test_the_fault_reorder_does_the_same_to_what_comes(world: World) -> None:
    """C11"""
    world.fault("reorder", probability=0.3)
    assert order_of(world) != list(range(100))


def test_a_failed_delivery_comes_after_later_ones(world: World) -> None:
    """C11: more so after failures."""
    world.turn(max_inflight_per_sub=1)
    world.client.subscribe(ASSET)
    world.app.answer(503, 204)
    world.publish(tenant="acmeop", topic=ASSET, count=3)
    wait_for(lambda: world.emulator.ledger()["acknowledged"] == 2)
    world.advance(10)
    first, *others = [got.body for got in world.app.got]
    assert others[-1] == first and len(others) == 3


def test_the_fault_delay_holds_first_attempts(world: World) -> None:
    """C11"""
    world.client.subscribe(ASSET)
    world.fault("delay")
    world.publish(tenant="acmeop", topic=ASSET, count=20)
    assert world.emulator.ledger()["pending"] > 0
    world.advance(31)
    assert world.emulator.ledger()["acknowledged"] == 20


@pytest.mark.parametrize(("fault", "outcome"), [("gateway-502", "502"), ("cut", "502")])
def test_faults_on_the_way_cost_an_attempt(world: World, fault: str, outcome: str) -> None:
    """C11"""
    world.client.subscribe(ASSET)
    world.fault(fault)
    world.publish(tenant="acmeop", topic=ASSET)
    assert wait_for(lambda: world.emulator.items()[0]["outcome"]) == outcome
    assert world.app.got == []
    world.fault("none")
    world.advance(10)
    assert world.emulator.ledger()["acknowledged"] == 1


def test_a_slow_answer_is_an_answer(world: World) -> None:
    """C11"""
    world.turn(slow_s=0.05)
    world.fault("slow")
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    assert world.delivered()["attempts"] == 1


def test_an_answer_slower_than_the_timeout_is_none(world: World) -> None:
    """C10, C11: the application has it, the broker does not know."""
    world.turn(slow_s=5, response_timeout_s=0.05)
    world.fault("slow")
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    assert wait_for(lambda: world.emulator.items()[0]["outcome"]) == "504"
    assert len(world.app.got) == 1


def test_a_declared_outage_is_computed_not_sent(world: World) -> None:
    """C10: the attempts of three days are in the ledger, the application saw none."""
    world.client.subscribe(ASSET, "custaa")
    world.fault("outage", for_s=3 * DAY)
    world.publish(tenant="custaa", topic=ASSET, count=200)
    world.advance(3 * DAY - 1)
    totals = world.emulator.ledger()
    assert world.app.got == [] and totals["pending"] == 200
    assert 200 * 3 * DAY / 900 * 0.8 < totals["attempts"] < 200 * 3 * DAY / 900 * 1.3
    world.advance(1 + 900 * 1.2)
    assert world.emulator.ledger()["acknowledged"] == 200
    assert len(world.app.got) == 200


def test_an_outage_longer_than_the_retention_loses_messages(world: World) -> None:
    """C10"""
    world.client.subscribe(ASSET)
    world.fault("outage")
    world.publish(tenant="acmeop", topic=ASSET, count=10)
    world.advance(5 * DAY)
    world.fault("none")
    world.advance(DAY)
    assert world.emulator.ledger()["expired"] == 10 and world.app.got == []


def test_an_outage_also_holds_what_was_already_due(world: World) -> None:
    """C10"""
    world.client.subscribe(ASSET)
    world.app.answer(503)
    world.publish(tenant="acmeop", topic=ASSET)
    wait_for(lambda: world.emulator.ledger()["attempts"] == 1)
    world.fault("outage", for_s=100)
    world.advance(50)
    assert len(world.app.got) == 1 and world.emulator.ledger()["attempts"] > 2


def test_attempts_run_in_parallel_up_to_the_limit(world: World) -> None:
    world.turn(max_inflight_per_sub=3)
    barrier = Barrier(3)

    def together(request: Received) -> tuple[int, dict[str, str]]:
        try:
            barrier.wait(5)
        except BrokenBarrierError:
            return 500, {}
        return 204, {}

    world.app.respond = together
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET, count=9)
    assert world.delivered()["attempts"] == 9


def test_a_long_queue_does_not_hold_up_a_quiet_tenant(world: World) -> None:
    world.turn(max_inflight=2, max_inflight_per_sub=2)
    world.client.subscribe(ASSET, "custaa", "custbb")
    world.publish(tenant="custaa", topic=ASSET, count=1000)
    world.publish(tenant="custbb", topic=ASSET)
    world.delivered()
    places = [place for place, got in enumerate(world.app.got) if claims(got)["ten"] == "custbb"]
    assert places[0] < 900


def test_connections_are_reused(world: World) -> None:
    before = world.app.connections
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET, count=200)
    world.delivered()
    assert world.app.connections - before <= 8


def test_a_changed_address_redirects_what_is_pending(world: World) -> None:
    """C10: assumed, and a knob."""
    world.client.subscribe(ASSET)
    world.app.answer(503, 204)
    world.publish(tenant="acmeop", topic=ASSET)
    wait_for(lambda: world.emulator.ledger()["attempts"] == 1)
    world.client.subscription("PUT", ASSET, uri=world.client.uri + "/new")
    world.advance(10)
    assert [got.path for got in world.app.got] == ["/notifications", "/notifications/new"]


def test_a_changed_address_may_leave_pending_messages_alone(world: World) -> None:
    world.turn(pending_follow_uri=False)
    world.client.subscribe(ASSET)
    world.app.answer(503, 204)
    world.publish(tenant="acmeop", topic=ASSET)
    wait_for(lambda: world.emulator.ledger()["attempts"] == 1)
    world.client.subscription("PUT", ASSET, uri=world.client.uri + "/new")
    world.advance(10)
    assert [got.path for got in world.app.got] == ["/notifications"] * 2


@pytest.mark.parametrize(("drops", "dropped", "acknowledged"), [(True, 1, 0), (False, 0, 1)])
def test_a_deleted_subscription_drops_what_is_pending(
    world: World, drops: bool, dropped: int, acknowledged: int
) -> None:
    """C10: assumed, and a knob."""
    world.turn(delete_drops_pending=drops)
    world.client.subscribe(ASSET)
    world.app.answer(503, 204)
    world.publish(tenant="acmeop", topic=ASSET)
    wait_for(lambda: world.emulator.ledger()["attempts"] == 1)
    world.client.subscription("DELETE", ASSET)
    world.advance(10)
    totals = world.emulator.ledger()
    assert (totals["dropped"], totals["acknowledged"], totals["pending"]) == (dropped, acknowledged, 0)


def test_an_answer_after_the_delete_still_counts(world: World) -> None:
    world.app.respond = _delete_meanwhile(world)
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    totals = wait_for(lambda: (now := world.emulator.ledger())["acknowledged"] and now)
    assert (totals["dropped"], totals["pending"]) == (0, 0)


def _delete_meanwhile(world: World) -> Any:
    def respond(request: Received) -> tuple[int, dict[str, str]]:
        client = Client(world.client.credentials)
        client.subscription("DELETE", ASSET)
        client.close()
        return 204, {}

    return respond


@pytest.mark.parametrize(("form", "header", "copies"), [("A", True, False), ("B", False, True), ("both", True, True)])
def test_topic_and_context_travel_as_the_wire_form_says(world: World, form: str, header: bool, copies: bool) -> None:
    """C9: in the body as published; the other forms are assumed."""
    world.turn(wire_form=form)
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    world.delivered()
    (got,) = world.app.got
    assert ("header" in got.json, "asset" in got.json) == (header, True)
    expected = (ASSET, "acmeop") if copies else (None, None)
    assert (got.headers.get("x-mdsp-topic"), got.headers.get("x-mdsp-tenant-context")) == expected


def test_a_message_id_is_sent_only_if_told_and_stays_the_same(world: World) -> None:
    world.client.subscribe(ASSET)
    world.publish(tenant="acmeop", topic=ASSET)
    world.delivered()
    world.turn(send_message_id=True)
    world.app.answer(503, 204)
    world.publish(tenant="acmeop", topic=ASSET, message_id="mine")
    wait_for(lambda: world.emulator.ledger()["attempts"] == 2)
    world.advance(10)
    without, first, second = [got.headers for got in world.app.got]
    assert "x-mdsp-message-id" not in without
    assert first["x-mdsp-message-id"] == second["x-mdsp-message-id"] == "mine"
    assert (first["x-mdsp-delivery-attempt"], second["x-mdsp-delivery-attempt"]) == ("1", "2")
    assert first["x-correlation-id"] != second["x-correlation-id"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_subscriptions_and_pending_messages_survive_the_end_of_the_emulator(tmp_path: Path, end: str) -> None:
    """C18: also keys, tenants and declared faults; a kill may repeat deliveries, never lose one."""
    with receiver() as app, running_emulator("--app", app.url, state=tmp_path / "emu.db") as emulator:
        emulator.control("/provision", {"tenants": ["custcc"]})
        client = Client(emulator.credentials())
        client.subscribe(ASSET, "custcc")
        app.answer(503)
        emulator.control("/publish", {"tenant": "custcc", "topic": ASSET, "count": 50})
        wait_for(lambda: len(app.got) >= 5)
        assert (emulator.stop() == 0) if end == "stop" else (emulator.kill() != 0)
        app.forget()
        emulator.again()
        assert client.subscription("GET", ASSET, "custcc").status_code == 200  # an old token, an old key
        emulator.control("/clock", {"advance": 60})
        totals = emulator.wait_until_delivered()
        assert (totals["published"], totals["acknowledged"]) == (50, 50)
        assert {item["body_sha256"] for item in emulator.items()} == digests(app.got)
        client.close()


def digests(got: list[Received]) -> set[str]:
    return {sha256(request.body).hexdigest() for request in got}


def test_the_same_seed_is_the_same_plan(tmp_path: Path) -> None:
    """C11: which messages come twice or late, and what they say, depends on the seed alone."""
    plans = []
    for number, seed in enumerate(("5", "5", "6")):
        with receiver() as app:
            arguments = ("--app", app.url, "--seed", seed, "--clock", "virtual")
            with running_emulator(*arguments, state=tmp_path / f"{number}.db") as emulator:
                client = Client(emulator.credentials())
                client.subscribe(ASSET)
                order = {"tenant": "acmeop", "topic": ASSET, "count": 40, "duplicate": 0.3, "reorder": 0.3}
                emulator.control("/publish", order)
                emulator.wait_until_delivered()
                plans.append([(item["id"], item["attempts"]) for item in emulator.items()])
                client.close()
    assert plans[0] == plans[1] != plans[2]
