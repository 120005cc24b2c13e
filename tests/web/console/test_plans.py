"""What a plan says is done, is lost, and was seen."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from subscriber.model import Tenant
from subscriber.registrars import open_registrars
from subscriber.registration.plan import Subscription, as_row
from subscriber.web.console import plans
from subscriber.web.console.orders import PLATFORMS
from subscriber.web.console.plans import NAMES, REASONS, Plan, plan_of
from tests.web.console.everywhere import OTHER_FILTERS, T123, Everywhere
from tests.web.console.world import ACME, DEVICES, OTHER, World


def planned(world: World, tenants: Sequence[Tenant] | None = None, platform: str = "mindsphere") -> Plan:
    with open_registrars(world.settings, world.store, threading.Event(), by_hand=True, of=[platform]) as (one,):
        return plan_of(one, tenants)


def remember(world: World, tenant: Tenant, topic: str, version: str = "v1.4.2") -> None:
    """A subscription of ours that is in place."""
    one = Subscription(tenant=tenant, topic=topic, subscriber="alarmapi", version=version, uri="https://a.example/")
    world.store.registry.put_subscription(as_row(one, "active"))


def test_what_loses_something_comes_first_and_is_counted(registered: World) -> None:
    remember(registered, OTHER, "not.wanted")
    remember(registered, OTHER, "older", "v1.0.0")
    plan = planned(registered)
    first = plan.lines[0]
    assert (first.change.subscription.topic, first.does) == ("not.wanted", "removed")
    assert first.loses == "what is published from then on"
    assert (dict(plan.counts), plan.losing, plan.total) == ({"created": 5, "removed": 2}, 1, 7)
    (older,) = [line for line in plan.lines if line.change.why == "version"]
    assert older.loses == ""


def test_what_takes_anothers_place_is_replaced(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
    with everywhere.console(**everywhere.environ(OTHER_FILTERS)) as world:
        plan = planned(world, [T123], "cumulocity")
    assert [(line.does, line.loses) for line in plan.lines] == [
        ("replaced", "what happens in between; some may come twice")
    ]


def test_some_tenants_have_a_plan_of_their_own(registered: World) -> None:
    assert {line.change.subscription.tenant for line in planned(registered, [ACME, DEVICES]).lines} == {ACME}
    assert planned(registered, [DEVICES]).total == 0


def test_plans_that_lose_the_same_are_seen_alike_whatever_else_they_do(registered: World) -> None:
    nothing = planned(registered).seen
    remember(registered, ACME, "one")
    one = planned(registered).seen
    registered.platform.tenants.append("custdd")
    registered.store.registry.remove_subscription(registered.store.registry.subscriptions_of([OTHER])[0])
    assert planned(registered).seen == one != nothing
    remember(registered, OTHER, "one")
    assert len({nothing, one, planned(registered).seen, planned(registered, [OTHER]).seen}) == 4


def test_nobody_has_seen_losses_that_are_not_all_shown(registered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "SHOWN_LINES", 2)
    remember(registered, ACME, "one")
    remember(registered, ACME, "two")
    assert planned(registered).seen and len(planned(registered).lines) == 2
    remember(registered, ACME, "three")
    plan = planned(registered)
    assert (plan.seen, len(plan.lines), plan.losing) == ("", 2, 3)


def test_every_platform_has_a_name_and_every_reason_its_words() -> None:
    assert set(NAMES) == set(PLATFORMS)
    assert all(not words.endswith(".") for words in REASONS.values())
