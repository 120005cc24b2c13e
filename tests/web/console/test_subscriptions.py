"""The plan, what is not in place, and applying it."""

from __future__ import annotations

import re

from subscriber.model import Tenant
from subscriber.web.console.subscriptions import TENANTS, listed
from tests.web.console.test_sight import sight
from tests.web.console.world import ACME, EVENTS, OTHER, World


def test_the_plan_is_shown_with_what_is_not_in_place(registered: World) -> None:
    text = registered.get("subscriptions").text
    assert "Apply now: 5 changes" in text
    assert "403: the topic is not allowed" in text
    assert registered.platform.calls == []


def test_applying_makes_it_so_says_what_came_of_it_and_is_audited(registered: World) -> None:
    answer = registered.post("subscriptions/apply")
    (told,) = re.findall(r"mindsphere: \d+ done, 0 failed, 0 stale", answer.text)
    assert "By what is remembered nothing would change." in registered.get("subscriptions").text
    assert registered.actions()[:2] == [
        ("ann@acmeop.example (acmeop)", "register", f"every tenant: {told}"),
        ("ann@acmeop.example (acmeop)", "register_started", "every tenant"),
    ]


def test_one_tenant_is_applied_alone(registered: World) -> None:
    assert "Apply now: 1 change" in registered.get("subscriptions?tenant=custaa").text
    registered.post("subscriptions/apply", tenant="custaa")
    assert {call.tenant for call in registered.platform.calls if call.method == "PUT"} == {"custaa"}
    assert {row.state for row in registered.store.registry.subscriptions_of([ACME])} == {"active"}


def test_what_the_platform_refuses_is_told(registered: World) -> None:
    registered.platform.replies[f"custaa/{EVENTS}"] = (403, {})
    assert "1 failed" in registered.post("subscriptions/apply", tenant="custaa").text


def test_a_tenants_people_plan_and_apply_their_own(registered: World) -> None:
    text = registered.get("subscriptions", tenant=ACME.name).text
    assert "custaa" in text and "custbb" not in text and "Apply now" not in text
    assert "Apply now" in registered.get("subscriptions?tenant=custaa", tenant=ACME.name).text
    assert registered.post("subscriptions/apply", ACME.name).status_code == 403
    assert registered.post("subscriptions/apply", ACME.name, tenant="custbb").status_code == 404
    assert registered.post("subscriptions/apply", ACME.name, tenant="custaa").status_code == 200
    assert "custbb" not in {call.tenant for call in registered.platform.calls}


def test_all_are_listed_a_few_tenants_at_a_time(registered: World) -> None:
    for number in range(TENANTS):
        registered.store.registry.put_tenant(Tenant("mindsphere", f"d{number:03}"), "active")
    rows, more = listed(sight(registered), None, "")
    assert {row.tenant for row in rows} == {ACME, OTHER} and more
    after = more.partition("after=")[2].replace("%2F", "/")
    assert listed(sight(registered), None, after) == ([], None)
