"""``/notification2/subscriptions`` over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.emulator.conftest import World
from tests.emulator.cumulocity.running import Tenant

PATH = "/notification2/subscriptions"


def test_the_reply_repeats_what_was_given_and_no_more(tenant: Tenant) -> None:
    """N2-3.3"""
    device = tenant.devices[0]
    made = tenant.rule("A", "alarms", source=device, fragmentsToCopy=["acme_X"], filter={"apis": ["x"]})
    assert made == {
        "id": made["id"],
        "self": f"{tenant.base}{PATH}/{made['id']}",
        "context": "mo",
        "subscription": "A",
        "source": {"id": device, "name": "Freezer 1", "self": f"{tenant.base}/inventory/managedObjects/{device}"},
        "subscriptionFilter": {"apis": ["alarms"]},
        "fragmentsToCopy": ["acme_X"],
        "nonPersistent": False,
    }
    assert tenant.get(f"{PATH}/{made['id']}") == made
    assert "source" not in tenant.rule("A")


def test_nulls_are_absent(tenant: Tenant) -> None:
    """N2-3.3"""
    body = {"context": "tenant", "subscription": "A", "subscriptionFilter": {"apis": ["alarms"], "typeFilter": None}}
    made = tenant.post(PATH, {**body, "fragmentsToCopy": None, "nonPersistent": None, "source": None})
    assert made["subscriptionFilter"] == {"apis": ["alarms"]}


@pytest.mark.parametrize(
    "change",
    [
        {"context": "all"},
        {"context": None},
        {"subscription": "a-b"},
        {"subscription": ""},
        {"context": "mo"},
        {"source": {"id": "5001"}},
        {"source": "5001"},
        {"subscriptionFilter": []},
        {"subscriptionFilter": {"apis": "alarms"}},
        {"subscriptionFilter": {"apis": ["alarmsWithChildren"]}},
        {"subscriptionFilter": {"typeFilter": "a or b"}},
        {"subscriptionFilter": {"typeFilter": 1}},
        {"fragmentsToCopy": "x"},
        {"nonPersistent": 1},
    ],
)
def test_a_wrong_body_is_unprocessable(tenant: Tenant, change: dict[str, object]) -> None:
    """N2-3.1, N2-3.3"""
    answer = tenant.ask("POST", PATH, {"context": "tenant", "subscription": "A", **change})
    assert (answer.status_code, answer.json()["error"]) == (422, "reliable-notification/Unprocessable Entity")


def test_an_unknown_source_is_not_found(tenant: Tenant) -> None:
    """N2-3.1"""
    body = {"context": "mo", "subscription": "A", "source": {"id": "1"}}
    answer = tenant.ask("POST", PATH, body)
    assert (answer.status_code, answer.json()["error"]) == (404, "inventory/Not Found")


def test_a_duplicate_is_refused_whatever_its_filters(tenant: Tenant) -> None:
    """N2-3.8: its persistent twin is none."""
    tenant.rule("A", "alarms", source=tenant.devices[0])
    again = {"context": "mo", "subscription": "A", "source": {"id": tenant.devices[0]}}
    answer = tenant.ask("POST", PATH, again)
    assert (answer.status_code, answer.json()["error"]) == (409, "reliable-notification/Duplicate")
    assert f"source <'{tenant.devices[0]}'>, context <'mo'> & subscription <'A'>" in answer.json()["message"]
    tenant.post(PATH, {**again, "nonPersistent": True})


def test_lists_are_filtered_by_all_that_is_asked(tenant: Tenant) -> None:
    """N2-3.9"""
    device = tenant.devices[0]
    tenant.rule("A", "alarms")
    tenant.rule("A", "alarms", source=device)
    tenant.post(PATH, {"context": "tenant", "subscription": "B", "subscriptionFilter": {"typeFilter": "'x'"}})
    for query, count in (
        ({}, 3),
        ({"subscription": "A"}, 2),
        ({"context": "tenant"}, 2),
        ({"source": device, "subscription": "A"}, 1),
        ({"typeFilter": "'x'"}, 1),
        ({"source": "1"}, 0),
    ):
        assert len(tenant.get(PATH, **query)["subscriptions"]) == count, query


def test_links_are_templates(tenant: Tenant) -> None:
    """N2-3.9"""
    links = tenant.get("/notification2")
    assert links["notificationSubscriptions"] == {"self": f"{tenant.base}{PATH}", "subscriptions": None}
    assert links["notificationSubscriptionsBySourceAndContext"].endswith("?source={source}&context={context}")


def test_a_rule_is_deleted_once(tenant: Tenant) -> None:
    """N2-3.10"""
    made = tenant.rule("A")
    tenant.delete(f"{PATH}/{made['id']}")
    assert tenant.ask("DELETE", f"{PATH}/{made['id']}").status_code == 404


def test_rules_are_deleted_by_source_or_by_the_tenants_context(tenant: Tenant) -> None:
    """N2-3.10: whatever their names; ``mo`` is the default."""
    one, other = tenant.devices[:2]
    for name in "AB":
        tenant.rule(name, source=one)
        tenant.rule(name)
    tenant.rule("A", source=other)
    tenant.delete(f"{PATH}?source={one}")
    assert len(tenant.get(PATH)["subscriptions"]) == 3
    tenant.delete(f"{PATH}?context=tenant")
    assert [entry["source"]["id"] for entry in tenant.get(PATH)["subscriptions"]] == [other]


@pytest.mark.parametrize("query", ["", "?context=mo", "?context=all", "?subscription=A"])
def test_a_deletion_must_say_what(tenant: Tenant, query: str) -> None:
    """N2-3.10"""
    tenant.rule("A")
    assert tenant.ask("DELETE", PATH + query).status_code == 422
    assert len(tenant.get(PATH)["subscriptions"]) == 1


def test_a_deleted_rule_stops_the_inflow_and_leaves_what_is_queued(tenant: Tenant) -> None:
    """N2-3.10, N2-6"""
    made = tenant.rule("A", "measurements")
    tenant.reader("A").close()
    tenant.measurement(tenant.devices[0], 1)
    tenant.delete(f"{PATH}/{made['id']}")
    tenant.measurement(tenant.devices[0], 2)
    reader = tenant.reader("A")
    assert [frame.body["c8y_T"]["T"]["value"] for frame in reader.frames(1)] == [1] and reader.silent()


def test_a_fresh_rule_may_need_a_moment(world: World, tenant: Tenant) -> None:
    """N2-8: observed in the field; off by default."""
    world.turn(n2_rule_delay_s=4)
    tenant.rule("A", "measurements")
    reader = tenant.reader("A")
    tenant.measurement(tenant.devices[0], 1)
    world.advance(4)
    tenant.measurement(tenant.devices[0], 2)
    assert [frame.body["c8y_T"]["T"]["value"] for frame in reader.frames(1)] == [2]


def test_both_addresses_serve(world: World, user: Callable[..., Tenant]) -> None:
    assert user(prefix="").get("/notification2")["self"] == f"{world.emulator.url}/notification2"
