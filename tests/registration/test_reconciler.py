"""A whole run: who is served, what is asked for, what is left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from subscriber.errors import LockHeld
from subscriber.model import MINDSPHERE, Tenant
from subscriber.registration.plan import CONFIRM_AFTER
from subscriber.registration.reconciler import LOCK, Reconciler
from subscriber.store import Store
from tests.registration.conftest import (
    ASSETS,
    CUSTAA,
    CUSTBB,
    EVENTS,
    HOST,
    PROVISIONING,
    MakeReconciler,
    remembered,
    row,
    states,
    subscription,
)
from tests.small_platform import LIST_PATH, TOKEN_PATH, SmallPlatform, refusal
from tests.store.making import Clock

EVERYTHING = {
    ("acmeop", EVENTS),
    ("acmeop", ASSETS),
    ("acmeop", PROVISIONING),
    *((name, topic) for name in ("custaa", "custbb") for topic in (EVENTS, ASSETS)),
}


def planned(reconciler: Reconciler) -> list[tuple[str, str, str]]:
    """(tenant, topic, why) of every change."""
    changes = reconciler.changes(reconciler.survey())
    return [(one.subscription.tenant.name, one.subscription.topic, one.why) for one in changes]


def spoken_for(platform: SmallPlatform, name: str) -> int:
    """Calls in a tenant's name, its tokens included."""
    tokens = sum(call.path == TOKEN_PATH and call.body["userTenant"] == name for call in platform.calls)
    return tokens + sum(call.tenant == name for call in platform.calls)


def test_every_topic_is_wanted_in_every_tenant_and_provisioning_in_the_host_alone(reconciler: Reconciler) -> None:
    each = [(name, topic, "new") for name in ("custaa", "custbb") for topic in (EVENTS, ASSETS)]
    host = [("acmeop", topic, "new") for topic in (EVENTS, ASSETS, PROVISIONING)]
    assert planned(reconciler) == [*host, *each]


def test_provisioning_is_not_wanted_in_user_tenants_even_if_it_is_listed(reconciler_with: MakeReconciler) -> None:
    changes = planned(reconciler_with(MDSP_TOPICS=f"{PROVISIONING},{EVENTS}"))
    assert [name for name, topic, _ in changes if topic == PROVISIONING] == ["acmeop"]


def test_a_plan_changes_nothing(reconciler: Reconciler, platform: SmallPlatform, store: Store) -> None:
    planned(reconciler)
    assert (platform.subscriptions, remembered(store), store.registry.tenants()) == ({}, {}, [])


def test_a_run_subscribes_each_tenant_with_its_own_token(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    run = reconciler.run()
    assert run.report.ok and set(platform.subscriptions) == set(remembered(store)) == EVERYTHING
    assert set(platform.subscriptions.values()) == {f"{platform.url}/api/alarmapi-acmeop/v1/notifications/mindsphere"}
    assert platform.count(path=TOKEN_PATH) == 3
    assert states(store) == {"acmeop": "active", "custaa": "active", "custbb": "active"}


def test_a_second_run_plans_no_change_and_asks_about_the_host_alone(
    reconciler: Reconciler, platform: SmallPlatform
) -> None:
    reconciler.run()
    assert planned(reconciler) == []
    before = len(platform.calls)
    reconciler.run()
    called = [(call.method, call.tenant) for call in platform.calls[before:] if "/topics/" in call.path]
    assert called == [("GET", "acmeop")] * 3


def test_what_is_in_place_is_confirmed_about_once_a_day(
    reconciler: Reconciler, platform: SmallPlatform, clock: Clock
) -> None:
    reconciler.run()
    clock.now += 1.5 * CONFIRM_AFTER
    del platform.subscriptions["custbb", EVENTS]
    assert reconciler.run().report.repaired == 1
    assert set(platform.subscriptions) == EVERYTHING


def test_a_broker_that_lost_the_host_s_subscription_is_asked_about_all(
    reconciler: Reconciler, platform: SmallPlatform
) -> None:
    reconciler.run()
    platform.subscriptions.clear()
    assert reconciler.run().report.repaired == 7
    assert set(platform.subscriptions) == EVERYTHING


def test_a_run_goes_on_where_the_last_one_was_cut_off(
    reconciler_with: MakeReconciler, platform: SmallPlatform, store: Store
) -> None:
    stop = threading.Event()
    first = reconciler_with(stop=stop)
    done = 0

    def observe(_: object) -> None:
        nonlocal done
        done += 1
        if done == 4:
            stop.set()

    assert first.run(observe=observe).report.cut_short == "stopped"
    reconciler_with().run()
    assert set(platform.subscriptions) == EVERYTHING
    assert platform.methods("/topics/")["PUT"] == 7


def test_an_address_that_changed_moves_every_subscription(
    reconciler_with: MakeReconciler, platform: SmallPlatform
) -> None:
    reconciler_with().run()
    moved = reconciler_with(MDSP_URI_TEMPLATE="{gateway}/api/{app}-{host}/{version}/{endpoint}")
    assert {why for _, _, why in planned(moved)} == {"moved"}
    moved.run()
    assert all("/v1.4.2/" in uri for uri in platform.subscriptions.values())


def test_a_topic_taken_out_is_unsubscribed_everywhere(
    reconciler_with: MakeReconciler, platform: SmallPlatform, store: Store
) -> None:
    reconciler_with().run()
    smaller = reconciler_with(MDSP_TOPICS=EVENTS)
    assert planned(smaller) == [(name, ASSETS, "topic") for name in ("acmeop", "custaa", "custbb")]
    assert {smaller.loses(change) for change in smaller.changes(smaller.survey())} == {
        "what is published from then on"
    }
    smaller.run()
    assert {topic for _, topic in platform.subscriptions} == {EVENTS, PROVISIONING}
    assert set(remembered(store)) == set(platform.subscriptions)


def test_a_tenant_whose_token_is_refused_fails_alone_with_the_likely_cause(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    platform.replies["custaa"] = (403, refusal("forbidden"))
    report = reconciler.run().report
    assert {(one.change.subscription.tenant, one.reason) for one in report.failures} == {(CUSTAA, "tenant_refused")}
    assert "not provisioned to custaa" in report.failures[0].detail
    assert {key for key, state in remembered(store).items() if state == "active"} == {
        key for key in EVERYTHING if key[0] != "custaa"
    }
    platform.replies.clear()
    assert planned(reconciler) == [("custaa", EVENTS, "failed"), ("custaa", ASSETS, "failed")]


def test_a_refused_topic_fails_alone(reconciler: Reconciler, platform: SmallPlatform, store: Store) -> None:
    platform.replies[ASSETS] = (404, refusal("noMatch", "unknown topic"))
    report = reconciler.run().report
    assert {one.change.subscription.topic for one in report.failures} == {ASSETS}
    assert {key for key, state in remembered(store).items() if state == "failed"} == {
        (name, ASSETS) for name in ("acmeop", "custaa", "custbb")
    }


def test_the_end_of_a_good_run_is_remembered(reconciler: Reconciler, platform: SmallPlatform, store: Store) -> None:
    platform.replies[f"custaa/{EVENTS}"] = (403, refusal("forbidden"))
    reconciler.run()
    assert store.registry.census(MINDSPHERE).reconciled_at is None
    platform.replies.clear()
    reconciler.run()
    assert store.registry.census(MINDSPHERE).reconciled_at is not None


def test_one_instance_runs_at_a_time(reconciler: Reconciler, store: Store) -> None:
    store.registry.acquire(LOCK, "another", 60)
    with pytest.raises(LockHeld):
        reconciler.run()


def test_one_tenant_is_registered_beside_a_run_and_what_it_has_is_confirmed(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    store.registry.acquire(LOCK, "another", 60)
    assert reconciler.register(CUSTBB).ok
    assert set(platform.subscriptions) == {("custbb", EVENTS), ("custbb", ASSETS)}
    del platform.subscriptions["custbb", EVENTS]
    assert reconciler.register(CUSTBB).repaired == 1
    assert platform.count(path=LIST_PATH) == 0


# who leaves


@pytest.fixture
def many(platform: SmallPlatform) -> SmallPlatform:
    platform.tenants = [f"cust{number:02}" for number in range(10)]
    return platform


def test_a_tenant_leaves_after_two_complete_lists_without_it_and_nothing_is_asked_in_its_name(
    reconciler: Reconciler, many: SmallPlatform, store: Store, clock: Clock
) -> None:
    reconciler.run()
    many.tenants.remove("cust00")
    reconciler.run()
    assert states(store)["cust00"] == "active"
    reconciler.run()
    assert states(store)["cust00"] == "leaving"
    assert {state for (name, _), state in remembered(store).items() if name == "cust00"} == {"stale"}
    before = spoken_for(many, "cust00")
    clock.now += 2 * CONFIRM_AFTER
    reconciler.run()
    assert spoken_for(many, "cust00") == before


def test_a_list_that_changes_while_it_is_read_retires_nobody(
    reconciler: Reconciler, many: SmallPlatform, store: Store
) -> None:
    reconciler.run()
    del many.tenants[5:]
    numbers = {"size": 100, "totalElements": 10, "totalPages": 1}
    many.pages = lambda page: (
        200,
        {"userTenants": [{"id": name} for name in many.tenants], "page": {**numbers, "number": page}},
    )
    for _ in range(3):
        assert not reconciler.run().survey.complete
    assert set(states(store).values()) == {"active"}


def test_a_list_that_shrinks_by_a_lot_waits_for_a_person(
    reconciler: Reconciler, many: SmallPlatform, store: Store
) -> None:
    reconciler.run()
    del many.tenants[5:]
    for _ in range(3):
        assert len(reconciler.run().survey.verdict.waiting) == 5
    assert set(states(store).values()) == {"active"}
    assert store.registry.census(MINDSPHERE).waiting == 5
    reconciler.run(confirmed=True)
    assert sum(state == "leaving" for state in states(store).values()) == 5
    assert store.registry.census(MINDSPHERE).waiting == 0


def test_a_person_s_word_still_takes_two_lists(reconciler: Reconciler, many: SmallPlatform, store: Store) -> None:
    reconciler.run()
    del many.tenants[5:]
    before = many.count(path=LIST_PATH)
    reconciler.run(confirmed=True)
    assert many.count(path=LIST_PATH) - before == 2
    assert sum(state == "leaving" for state in states(store).values()) == 5


def test_a_tenant_that_comes_back_is_subscribed_again(
    reconciler: Reconciler, many: SmallPlatform, store: Store
) -> None:
    reconciler.run()
    many.tenants.remove("cust00")
    reconciler.run()
    reconciler.run()
    many.subscriptions = {key: uri for key, uri in many.subscriptions.items() if key[0] != "cust00"}
    many.tenants.append("cust00")
    assert planned(reconciler) == [("cust00", ASSETS, "stale"), ("cust00", EVENTS, "stale")][::-1]
    reconciler.run()
    assert states(store)["cust00"] == "active" and ("cust00", EVENTS) in many.subscriptions


def test_an_erased_tenant_is_left_out_and_said_so(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    store.registry.put_tenant(CUSTAA, "gone")
    run = reconciler.run()
    assert list(run.survey.verdict.erased) == [CUSTAA]
    assert spoken_for(platform, "custaa") == 0


# versions and hosts


def seed_old(store: Store, *tenants: Tenant, version: str = "v1.4.1") -> None:
    for tenant in tenants:
        store.registry.put_subscription(row(subscription(tenant, version=version)))


def versions(store: Store) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for one in store.registry.subscriptions(MINDSPHERE):
        found.setdefault((one.tenant.name, one.version), set()).add(one.state)
    return found


@pytest.fixture
def moved(store: Store) -> Iterator[None]:
    seed_old(store, HOST, CUSTAA, CUSTBB)
    yield


def test_an_older_version_is_removed_once_the_new_one_is_in_place(
    moved: None, reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    platform.subscriptions = {(name, EVENTS): "https://g/old" for name in ("acmeop", "custaa", "custbb")}
    assert {reconciler.loses(change) for change in reconciler.changes(reconciler.survey())} == {""}
    reconciler.run()
    assert set(versions(store)) == {(name, "v1.4.2") for name in ("acmeop", "custaa", "custbb")}


def test_a_newer_version_s_subscriptions_are_left_alone(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    seed_old(store, CUSTAA, version="v1.5.0")
    reconciler.run()
    assert versions(store)["custaa", "v1.5.0"] == {"active"}
    assert platform.methods("/topics/")["DELETE"] == 0


def test_what_stays_with_a_former_host_is_listed_as_stale_and_not_asked_for_each_time(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    developer = Tenant("mindsphere", "acmedv")
    store.registry.put_subscription(row(subscription(developer)))
    store.registry.put_subscription(row(subscription(developer, PROVISIONING)))
    platform.replies["acmedv"] = (403, refusal("forbidden"))
    reconciler.run()
    assert versions(store)["acmedv", "v1.4.2"] == {"stale"}
    assert states(store)["acmedv"] == "active"
    before = spoken_for(platform, "acmedv")
    reconciler.run()
    assert (planned(reconciler), spoken_for(platform, "acmedv")) == ([], before)


def test_a_former_host_is_left_alone_while_the_new_one_does_not_work(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    store.registry.put_subscription(row(subscription(Tenant("mindsphere", "acmedv"))))
    platform.replies[f"acmeop/{EVENTS}"] = (403, refusal("forbidden"))
    reconciler.run()
    assert spoken_for(platform, "acmedv") == 0


# unregistering


def test_unregistering_removes_everything_of_all_or_of_one(
    reconciler: Reconciler, platform: SmallPlatform, store: Store
) -> None:
    reconciler.run()
    assert {change.subscription.tenant for change in reconciler.registered(CUSTAA)} == {CUSTAA}
    assert reconciler.unregister(CUSTAA).ok
    assert {name for name, _ in platform.subscriptions} == {"acmeop", "custbb"}
    assert len(list(reconciler.registered())) == 5
    reconciler.unregister()
    assert (platform.subscriptions, remembered(store)) == ({}, {})


def test_unregistering_waits_its_turn(reconciler: Reconciler, store: Store) -> None:
    store.registry.acquire(LOCK, "another", 60)
    with pytest.raises(LockHeld):
        reconciler.unregister()


def test_the_host_alone_needs_no_list(reconciler: Reconciler, platform: SmallPlatform) -> None:
    survey = reconciler.survey(only=reconciler.host)
    assert {one.subscription.tenant for one in reconciler.changes(survey, HOST)} == {HOST}
    assert platform.count(path=LIST_PATH) == 0


def test_a_run_says_in_one_line_what_it_did(reconciler: Reconciler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reconciler.run()
    (line,) = [record for record in caplog.records if record.name.endswith("reconciler")]
    assert (line.action, line.tenants, line.done) == ("reconciled", 3, 7)  # type: ignore[attr-defined]


def test_a_notice_older_than_the_list_s_word_adds_nobody(reconciler: Reconciler, store: Store, clock: Clock) -> None:
    reconciler.run()
    gone = Tenant("mindsphere", "custzz")
    assert not store.registry.hear(gone, clock() - timedelta(seconds=1), True)
    assert store.registry.hear(gone, clock() + timedelta(seconds=1), True)
