"""Whole runs against the emulated platform: what is made, what is left alone, what is told of a refusal."""

from __future__ import annotations

import pytest

from subscriber.errors import LockHeld
from subscriber.pelion.registrar import LOCK, Registrar
from subscriber.registration.apply import Report
from subscriber.store import Store
from tests.pelion.conftest import CELLAR, DEVICE, FLAGS, GATES, OTHERS, PATH, RULE, MakeOffice, World, states
from tests.store.making import Clock

RESOURCES = {"subscriptions": [{"ep": DEVICE, "paths": [PATH]}]}


def planned(registrar: Registrar) -> list[tuple[str, str, str]]:
    """(tenant, topic, why) of every change."""
    changes = registrar.changes(registrar.survey())
    return [(one.subscription.tenant.name, one.subscription.topic, one.why) for one in changes]


def failures(report: Report) -> list[tuple[str, str]]:
    """(topic, reason)"""
    return [(one.change.subscription.topic, one.reason) for one in report.failures]


def test_a_channel_its_rules_and_its_resources_are_made(office_with: MakeOffice, world: World, store: Store) -> None:
    registrar = office_with(world.channel(presubscriptions=[RULE], **RESOURCES)).registrar
    topics = ["channel", "presubscriptions", DEVICE + PATH]
    assert planned(registrar) == [("cellar", topic, "new") for topic in topics]
    assert (world.kind(), states(store)) == (None, {})
    assert registrar.run().report.ok
    assert (world.kind(), world.rules(), world.observed()) == ("WEB_SOCKET", [RULE], [PATH])
    assert states(store) == {f"cellar {topic}": "active" for topic in topics}
    asked = world.ask("GET", "/v2/notification/websocket").json()["serialization"]
    assert asked == {"type": "v2", "cfg": dict.fromkeys(FLAGS, True)}


def test_a_second_run_changes_nothing(office_with: MakeOffice, world: World) -> None:
    registrar = office_with(world.channel(presubscriptions=[RULE], **RESOURCES)).registrar
    registrar.run()
    assert planned(registrar) == []
    assert not registrar.run().report.outcomes
    assert not registrar.run(thoroughly=[CELLAR]).report.outcomes


def test_presubscriptions_of_others_are_left_alone(office_with: MakeOffice, world: World) -> None:
    world.ask("PUT", "/v2/subscriptions", [OTHERS])
    office_with(world.channel(presubscriptions=[RULE])).registrar.run()
    assert world.rules() == [OTHERS, RULE]
    changed = {"resource-path": ["/3303/*"]}
    hand = office_with(world.channel(presubscriptions=[changed]), by_hand=True).registrar
    assert planned(hand) == [("cellar", "presubscriptions", "changed")]
    assert [hand.loses(change) for change in hand.changes(hand.survey())] == ["values that are configured no more"]
    assert hand.run().report.ok
    assert world.rules() == [OTHERS, changed]
    assert hand.unregister().ok
    assert world.rules() == [OTHERS]


def test_a_worker_adds_and_never_removes_what_is_not_configured_any_more(
    office_with: MakeOffice, world: World
) -> None:
    office_with(world.channel(presubscriptions=[RULE], **RESOURCES)).registrar.run()
    worker = office_with(world.channel(presubscriptions=[OTHERS])).registrar
    assert worker.run(thoroughly=[CELLAR]).report.ok
    assert (world.rules(), world.observed()) == ([RULE, OTHERS], [PATH])
    hand = office_with(world.channel(presubscriptions=[OTHERS]), by_hand=True).registrar
    assert [(topic, why) for _, topic, why in planned(hand)] == [
        ("presubscriptions", "changed"),
        (DEVICE + PATH, "dropped"),
    ]
    assert hand.run().report.ok
    assert (world.rules(), world.observed()) == ([OTHERS], [])


def test_rules_that_are_not_configured_any_more_go_by_hand_as_a_whole(office_with: MakeOffice, world: World) -> None:
    world.ask("PUT", "/v2/subscriptions", [OTHERS])
    office_with(world.channel(presubscriptions=[RULE])).registrar.run()
    hand = office_with(by_hand=True).registrar
    assert planned(hand) == [("cellar", "presubscriptions", "dropped")]
    assert hand.run().report.ok
    assert world.rules() == [OTHERS]


def test_a_callback_is_registered_with_its_secret_and_called_at_once(office_with: MakeOffice, world: World) -> None:
    office = office_with(world.channel(mode="callback", headers={"X-Team": "cold"}))
    assert office.registrar.run().report.ok
    (probe,) = world.app.got
    assert (probe.method, probe.path, probe.body) == ("PUT", "/notifications/pelion/cellar", b"{}")
    assert probe.headers["x-team"] == "cold" and len(probe.headers["x-callback-secret"]) == 32
    assert world.ask("GET", "/v2/notification/callback").json()["serialization"]["cfg"]["include_uid"] is True
    assert planned(office.registrar) == []


def test_another_callback_is_overwritten_with_its_queue_kept(office_with: MakeOffice, world: World) -> None:
    body = {"url": f"{world.app.url}/old"}
    assert world.ask("PUT", "/v2/notification/callback", body).status_code == 204
    registrar = office_with(world.channel(mode="callback")).registrar
    assert planned(registrar) == [("cellar", "channel", "moved")]
    assert registrar.run().report.ok
    assert world.ask("GET", "/v2/notification/callback").json()["url"].endswith("/notifications/pelion/cellar")


def test_a_callback_that_cannot_be_verified_is_told_with_its_likely_cause(
    office_with: MakeOffice, world: World
) -> None:
    world.app.answer(302)
    report = office_with(world.channel(mode="callback")).registrar.run().report
    assert failures(report) == [("channel", "callback_unverified")]
    assert "websocket" in report.failures[0].detail and "https" in report.failures[0].detail


def test_an_address_that_the_platform_would_refuse_is_not_sent(office_with: MakeOffice, world: World) -> None:
    channel = world.channel(mode="callback")
    for url in ("", "http://hooks.example.org"):
        report = office_with(channel, PUBLIC_URL=url).registrar.run().report
        assert failures(report) == [("channel", "callback_address")]
        assert "mode websocket" in report.failures[0].detail
    headers = {f"X-Header-{number}": "x" * 60 for number in range(4)}
    long = world.channel(mode="callback", headers=headers)
    report = office_with(long, PUBLIC_URL="https://hooks.example.org/" + "x" * 90).registrar.run().report
    assert failures(report) == [("channel", "callback_too_long")]
    assert (world.app.got, world.kind()) == ([], None)


def test_a_channel_of_another_kind_is_explained_and_never_deleted(
    office_with: MakeOffice, world: World, store: Store
) -> None:
    world.ask("PUT", "/v2/notification/callback", {"url": f"{world.app.url}/theirs"})
    for by_hand in (False, True):
        registrar = office_with(world.channel(), by_hand=by_hand).registrar
        assert planned(registrar) == [("cellar", "channel", "kind")]
        report = registrar.run().report
        assert failures(report) == [("channel", "channel_kind")]
        assert "there is a channel of the kind callback" in report.failures[0].detail
    assert registrar.unregister().ok
    assert (world.kind(), states(store)) == ("CALLBACK", {})


def test_a_mode_that_was_changed_here_takes_a_person(office_with: MakeOffice, world: World) -> None:
    office_with(world.channel(mode="callback")).registrar.run()
    assert failures(office_with(world.channel()).registrar.run().report) == [("channel", "channel_kind")]
    hand = office_with(world.channel(), by_hand=True).registrar
    assert planned(hand) == [("cellar", "channel", "dropped"), ("cellar", "channel", "new")]
    assert hand.run().report.ok
    assert world.kind() == "WEB_SOCKET"


def test_a_channel_that_the_platform_removed_is_made_again_and_the_gap_told(
    office_with: MakeOffice, world: World, store: Store, clock: Clock
) -> None:
    made: list[tuple[str, bool]] = []
    office = office_with(
        world.channel(mode="callback"), created=lambda tenant, instead: made.append((tenant.name, instead))
    )
    office.registrar.run()
    world.turn(pelion_retry_max_s=20_000)  # fewer attempts in a day
    world.app.answer(503)
    world.emulator.control("/publish", {"tenant": "pelion/cellar", "count": 1})
    clock.advance(hours=30)
    world.advance(30 * 3600)
    assert world.kind() is None, "24 hours of failure"
    assert planned(office.registrar) == [("cellar", "channel", "lost")]
    world.app.answer(200)
    assert office.registrar.run().report.repaired == 1
    (gap,) = store.registry.gaps()
    assert (gap.tenant, gap.channel, gap.reason) == (CELLAR, "cellar", "channel_removed")
    assert gap.lost_until == clock() and (gap.lost_until - gap.lost_from).total_seconds() == 30 * 3600
    assert (world.kind(), made) == ("CALLBACK", [("cellar", False), ("cellar", True)])


def test_what_a_device_forgot_is_observed_again(office_with: MakeOffice, world: World, clock: Clock) -> None:
    registrar = office_with(world.channel(**RESOURCES)).registrar
    registrar.run()
    world.act("register")
    assert world.observed() == []
    assert not registrar.run().report.outcomes, "it is not due"
    clock.advance(hours=2)
    assert registrar.run().report.repaired == 1
    assert world.observed() == [PATH]
    world.act("register")
    assert registrar.repeat(CELLAR, DEVICE).ok
    assert world.observed() == [PATH]


def test_a_device_that_is_unknown_or_away_fails_alone_and_is_tried_again_later(
    office_with: MakeOffice, world: World, store: Store, clock: Clock
) -> None:
    away, unknown = "017f0000000000000000000100100002", "0" * 32
    world.act("sleep", away)
    devices = [{"ep": ep, "paths": [PATH]} for ep in (away, DEVICE, unknown)]
    registrar = office_with(world.channel(subscriptions=devices)).registrar
    report = registrar.run().report
    assert sorted(failures(report)) == [(unknown + PATH, "device_unknown"), (away + PATH, "device_away")]
    assert states(store)[f"cellar {DEVICE}{PATH}"] == "active"
    assert registrar.run().report.ok, "not at once"
    world.act("update", away)
    clock.advance(minutes=6)
    assert failures(registrar.run().report) == [(unknown + PATH, "device_unknown")]
    assert world.observed(away) == [PATH]


def test_a_key_that_is_refused_is_told_and_the_other_channels_done(
    office_with: MakeOffice, world: World, store: Store
) -> None:
    wrong = {**world.channel("gates"), "api_key": "ak_1wrong"}
    report = office_with(wrong, world.channel()).registrar.run().report
    assert failures(report) == [("channel", "key_refused")]
    assert states(store) == {"gates channel": "failed", "cellar channel": "active"}
    assert "ak_1wrong" not in report.failures[0].detail


def test_unregistering_deletes_the_channel_last_and_what_is_gone_is_fine(
    office_with: MakeOffice, world: World, store: Store
) -> None:
    registrar = office_with(world.channel(presubscriptions=[RULE], **RESOURCES), by_hand=True).registrar
    registrar.run()
    world.ask("DELETE", f"/v2/subscriptions/{DEVICE}")
    assert [one.subscription.topic for one in registrar.registered(CELLAR)][-1] == "channel"
    assert registrar.unregister().ok
    assert (world.kind(), world.rules(), states(store)) == (None, [], {})
    assert store.registry.gaps() == []
    registrar.run()
    assert store.registry.gaps() == [], "a channel that was given up is not missed"


def test_one_channel_is_unregistered_alone(office_with: MakeOffice, world: World, store: Store) -> None:
    registrar = office_with(world.channel(), world.channel("gates")).registrar
    registrar.run()
    assert registrar.unregister(GATES).ok
    assert states(store) == {"cellar channel": "active"}


def test_a_channel_whose_key_is_gone_from_the_settings_stays_and_is_told(
    office_with: MakeOffice, world: World, store: Store
) -> None:
    office_with(world.channel(), world.channel("gates")).registrar.run()
    report = office_with(world.channel()).registrar.unregister(GATES)
    assert report.outcomes == {"stale": 1}
    assert (states(store)["gates channel"], world.kind()) == ("stale", "WEB_SOCKET")


def test_an_erased_tenant_has_no_channel_any_more(office_with: MakeOffice, world: World, store: Store) -> None:
    registrar = office_with().registrar
    registrar.run()
    store.inbox.erase(CELLAR)
    assert planned(registrar) == []
    assert list(registrar.survey().verdict.erased) == [CELLAR]


def test_one_instance_runs_at_a_time(office_with: MakeOffice, store: Store) -> None:
    store.registry.acquire(LOCK, "another", 60)
    with pytest.raises(LockHeld):
        office_with().registrar.run()


def test_attempts_that_fail_do_not_make_a_removed_channel_forgotten(
    office_with: MakeOffice, world: World, store: Store, clock: Clock
) -> None:
    office = office_with(world.channel(mode="callback"))
    office.registrar.run()
    world.ask("DELETE", "/v2/notification/callback")
    world.app.answer(503)
    for _ in range(2):
        clock.advance(hours=1)
        assert failures(office.registrar.run().report) == [("channel", "callback_unverified")]
    world.app.answer(200)
    clock.advance(hours=1)
    assert office.registrar.run().report.ok
    (gap,) = store.registry.gaps()
    assert (gap.lost_until - gap.lost_from).total_seconds() == 3 * 3600
