"""Whole runs against the emulated platform: what is made, what is left alone, what is told of a refusal."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from subscriber.cumulocity import build, open_directory
from subscriber.cumulocity.registrar import LOCK, Registrar
from subscriber.errors import LockHeld
from subscriber.registration.apply import Report
from subscriber.store import Store
from tests.cumulocity.conftest import COLD, LATER, T123, T124, MakeRegistrar, World, settings_of, states
from tests.store.making import Clock


def planned(registrar: Registrar) -> list[tuple[str, str, str]]:
    """(tenant, topic, why) of every change."""
    changes = registrar.changes(registrar.survey())
    return [(one.subscription.tenant.name, one.subscription.topic, one.why) for one in changes]


def failures(report: Report) -> set[tuple[str, str, str]]:
    """(tenant, topic, reason)"""
    return {
        (one.change.subscription.tenant.name, one.change.subscription.topic, one.reason) for one in report.failures
    }


def mo(*sources: str, **more: Any) -> dict[str, Any]:
    return {"name": "devices", "subscriber": "ingest", "context": "mo", "sources": list(sources), **more}


def test_each_tenant_gets_each_rule_and_its_consumer(registrar: Registrar, world: World, store: Store) -> None:
    assert planned(registrar) == [
        (tenant, topic, "new") for tenant in ("t123", "t124") for topic in ("coldChain/*", "coldChain")
    ]
    assert (world.rules(), store.registry.tenants()) == ([], [])
    assert registrar.run().report.ok
    for tenant in ("t123", "t124"):
        (rule,) = world.rules(tenant)
        assert (rule["subscription"], rule["context"]) == ("coldChain", "tenant")
        assert rule["subscriptionFilter"] == {"apis": ["alarms", "managedobjects"]}
    assert set(states(store).values()) == {"active"} and len(states(store)) == 4
    assert {row.tenant: row.state for row in store.registry.tenants()} == {T123: "active", T124: "active"}


def test_a_second_run_changes_nothing(registrar: Registrar, world: World) -> None:
    registrar.run()
    before = world.rules()
    assert planned(registrar) == []
    assert not registrar.run().report.outcomes
    assert world.rules() == before


def test_many_sources_stand_under_one_name(registrar_with: MakeRegistrar, world: World, store: Store) -> None:
    first, second = world.devices()[:2]
    world.deprovision("t124")
    registrar = registrar_with(
        mo(first, second, typeFilter="'c8y_Temperature'", fragmentsToCopy=["acme_Level"], shared=True)
    )
    assert registrar.run().report.ok
    rules = world.rules()
    assert {rule["source"]["id"] for rule in rules} == {first, second}
    assert {rule["subscription"] for rule in rules} == {"devices"}
    assert {rule["subscriptionFilter"]["typeFilter"] for rule in rules} == {"c8y_Temperature"}
    assert all(rule["fragmentsToCopy"] == ["acme_Level"] for rule in rules)
    assert planned(registrar) == []


def test_one_refused_source_fails_alone_and_is_told_with_its_cause(
    registrar_with: MakeRegistrar, world: World, store: Store
) -> None:
    world.deprovision("t124")
    device = world.devices()[0]
    report = registrar_with(mo(device, "999999")).run().report
    assert failures(report) == {("t123", "devices/999999", "source_unknown")}
    assert "no managed object of this id" in report.failures[0].detail
    assert states(store) == {
        f"t123 devices/{device}": "active",
        "t123 devices/999999": "failed",
        "t123 devices": "active",
    }


def test_a_tenant_without_the_role_fails_alone_with_the_role_s_name(
    registrar: Registrar, world: World, store: Store
) -> None:
    world.roles("t124")
    report = registrar.run().report
    assert {(tenant, reason) for tenant, _, reason in failures(report)} == {("t124", "role_missing")}
    assert "ROLE_NOTIFICATION_2_ADMIN" in report.failures[0].detail
    assert len(world.rules("t123")) == 1
    world.roles("t124", "ROLE_NOTIFICATION_2_ADMIN")
    assert registrar.run().report.ok and len(world.rules("t124")) == 1


def test_a_shared_consumer_that_a_release_refuses_is_told_with_its_causes(
    registrar_with: MakeRegistrar, world: World
) -> None:
    world.turn(n2_shared_only_mo=True)
    try:
        report = registrar_with({**COLD, "shared": True}).run().report
    finally:
        world.turn(n2_shared_only_mo=False)
    assert {(topic, reason) for _, topic, reason in failures(report)} == {("coldChain", "token_invalid")}
    assert "10.16" in report.failures[0].detail and "context mo" in report.failures[0].detail


def test_a_rule_that_is_there_already_is_found_and_kept(registrar: Registrar, world: World) -> None:
    body = {
        "context": "tenant",
        "subscription": "coldChain",
        "subscriptionFilter": {"apis": ["managedobjects", "alarms"]},
    }
    id = world.ask("POST", "/notification2/subscriptions", body=body).json()["id"]
    assert registrar.run().report.ok
    assert [rule["id"] for rule in world.rules()] == [id]


def test_a_rule_that_somebody_deleted_is_made_again(registrar: Registrar, world: World) -> None:
    registrar.run()
    world.ask("DELETE", f"/notification2/subscriptions/{world.rules()[0]['id']}")
    assert planned(registrar) == [("t123", "coldChain/*", "lost")]
    assert registrar.run().report.repaired == 1
    assert len(world.rules()) == 1


def test_other_filters_are_replaced_by_a_person_and_never_by_a_worker(
    registrar: Registrar, registrar_with: MakeRegistrar, world: World, store: Store
) -> None:
    registrar.run()
    (old,) = world.rules()
    changed = {**COLD, "apis": ["events"]}
    worker = registrar_with(changed)
    assert ("t123", "coldChain/*", "differs") in planned(worker)
    report = worker.run().report
    assert {reason for _, _, reason in failures(report)} == {"differs"}
    assert "register --apply" in report.failures[0].detail and "lost" in report.failures[0].detail
    assert world.rules() == [old]
    assert registrar_with(changed, by_hand=True).run().report.ok
    (new,) = world.rules()
    assert new["subscriptionFilter"] == {"apis": ["events"]} and new["id"] != old["id"]
    assert planned(worker) == []


def test_what_is_dropped_from_the_settings_goes_once_nobody_has_wanted_it_for_hours(
    registrar: Registrar, registrar_with: MakeRegistrar, world: World, store: Store, clock: Clock
) -> None:
    registrar.run()
    other = registrar_with({**COLD, "name": "other"})
    assert other.run().report.ok
    assert {rule["subscription"] for rule in world.rules()} == {"coldChain", "other"}, "an older instance may run"
    clock.now += LATER
    assert other.run().report.ok
    assert {rule["subscription"] for rule in world.rules()} == {"other"}
    assert {row.topic for row in store.registry.subscriptions("cumulocity")} == {"other", "other/*"}


def test_while_an_older_instance_runs_neither_removes_what_the_other_made(
    registrar: Registrar, registrar_with: MakeRegistrar, world: World, clock: Clock
) -> None:
    newer = registrar_with({**COLD, "name": "other"})
    for _ in range(6):
        registrar.run()
        newer.run()
        clock.advance(hours=1)
    assert {rule["subscription"] for rule in world.rules()} == {"coldChain", "other"}


def test_a_person_removes_what_is_dropped_at_once(
    registrar: Registrar, registrar_with: MakeRegistrar, world: World
) -> None:
    registrar.run()
    hand = registrar_with({**COLD, "name": "other"}, by_hand=True)
    assert [why for _, topic, why in planned(hand) if topic.startswith("cold")] == ["dropped"] * 4
    assert hand.run().report.ok
    assert {rule["subscription"] for rule in world.rules()} == {"other"}


def test_rules_of_others_are_left_alone(registrar_with: MakeRegistrar, world: World) -> None:
    body = {"context": "tenant", "subscription": "theirs"}
    world.ask("POST", "/notification2/subscriptions", body=body)
    registrar = registrar_with(by_hand=True)
    registrar.run()
    registrar.unregister()
    assert [rule["subscription"] for rule in world.rules()] == ["theirs"]


def test_unregistering_removes_rules_then_consumers_and_what_is_gone_is_fine(
    registrar_with: MakeRegistrar, world: World, store: Store
) -> None:
    world.turn(n2_consumer_created_by="token")
    try:
        registrar = registrar_with(by_hand=True)
        registrar.run()
        assert world.consumers() == {(tenant, "coldChain", "ingest") for tenant in ("t123", "t124")}
        world.ask("DELETE", f"/notification2/subscriptions/{world.rules()[0]['id']}")
        assert [one.subscription.topic for one in registrar.registered(T123)] == ["coldChain/*", "coldChain"]
        assert registrar.unregister().ok
    finally:
        world.turn(n2_consumer_created_by="connect")
    assert (world.rules("t123"), world.rules("t124"), world.consumers(), states(store)) == ([], [], set(), {})


def test_a_consumer_that_never_came_to_be_is_fine_to_end(registrar: Registrar, world: World, store: Store) -> None:
    registrar.run()
    assert registrar.unregister().ok
    assert states(store) == {}


def test_one_tenant_is_unregistered_alone(registrar: Registrar, world: World) -> None:
    registrar.run()
    assert registrar.unregister(T124).ok
    assert (len(world.rules("t123")), world.rules("t124")) == (1, [])


def test_a_tenant_leaves_after_two_lists_without_it(
    registrar_with: MakeRegistrar, world: World, store: Store
) -> None:
    world.provision("t125", "t126", "t127", "t128")
    registrar_with().run()
    world.deprovision("t128")
    first = registrar_with().run()
    assert [tenant.name for tenant in first.survey.verdict.missing] == ["t128"]
    assert {row.state for row in store.registry.tenants()} == {"active"}
    registrar_with().run()
    assert [row.tenant.name for row in store.registry.tenants() if row.state == "leaving"] == ["t128"]


def test_a_rotated_password_costs_nothing(registrar: Registrar, world: World) -> None:
    registrar.survey()
    world.rotate()
    assert registrar.run().report.ok


def test_one_instance_runs_at_a_time(registrar: Registrar, store: Store) -> None:
    store.registry.acquire(LOCK, "another", 60)
    with pytest.raises(LockHeld):
        registrar.run()


def test_a_check_finds_who_lacks_the_role(registrar: Registrar, world: World) -> None:
    (finding,) = registrar.probe()
    assert finding.ok and finding.detail.startswith("2 tenants")
    world.roles("t124")
    (finding,) = registrar.probe()
    assert not finding.ok and "t124" in finding.detail and "ROLE_NOTIFICATION_2_ADMIN" in finding.detail


def test_one_tenant_alone_needs_no_list_and_no_bootstrap_user(world: World, store: Store, clock: Clock) -> None:
    known = world.emulator.control("/cumulocity/users", {"tenant": "t124"})
    environ = {name: value for name, value in world.environ().items() if "BOOTSTRAP" not in name}
    environ |= {"C8Y_MICROSERVICE_ISOLATION": "PER_TENANT", "C8Y_TENANT": "t124"}
    settings = settings_of(environ | {"C8Y_USER": known["name"], "C8Y_PASSWORD": known["password"]})
    directory = open_directory(settings, stop=threading.Event())
    registrar = build(settings, store, directory, by_hand=False, clock=clock)
    assert registrar.run().report.ok
    registrar.close()
    assert (world.rules("t123"), len(world.rules("t124"))) == ([], 1)
