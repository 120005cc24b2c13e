"""The plan of every platform, what is not in place, and applying it."""

from __future__ import annotations

import re

import pytest

from subscriber.model import Tenant
from subscriber.web.console import plans
from subscriber.web.console.subscriptions import TENANTS, listed
from tests.web.console.everywhere import ALARMS, OTHER_FILTERS, T123, T124, Everywhere, seen
from tests.web.console.test_plans import remember
from tests.web.console.test_sight import sight
from tests.web.console.world import ACME, EVENTS, OTHER, World


def test_the_plan_is_shown_with_what_is_not_in_place(registered: World) -> None:
    text = registered.get("subscriptions").text
    assert "Apply now: 5 changes" in text
    assert "403: the topic is not allowed" in text
    assert "Ask for the plan" not in text
    assert registered.platform.calls == []


def test_applying_makes_it_so_says_what_came_of_it_and_is_audited(registered: World) -> None:
    answer = registered.post("subscriptions/apply")
    (told,) = re.findall(r"mindsphere: \d+ done, 0 failed, 0 stale", answer.text)
    assert "nothing would change." in registered.get("subscriptions").text
    assert registered.actions()[:2] == [
        ("ann@acmeop.example (acmeop)", "register", f"every tenant: {told}"),
        ("ann@acmeop.example (acmeop)", "register_started", "every tenant"),
    ]


def test_one_tenant_is_applied_alone(registered: World) -> None:
    assert "Apply now: 1 change" in registered.get("subscriptions?tenant=custaa").text
    assert "403: the topic is not allowed" not in registered.get("subscriptions?tenant=custbb").text
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


def test_other_platforms_are_asked_when_somebody_wants_to_know(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        text = world.get("subscriptions").text
        assert (
            "at Cumulocity Notification 2.0, Cumulocity real-time, Pelion is not known before they are asked" in text
        )
        assert "Ask for the plan" in text
        assert list(seen(text)) == ["seen-mindsphere"]
        text = world.get("subscriptions?ask=1").text
        assert "4 created. Nothing is lost by it." in text and "it is not there yet" in text
        assert list(seen(text)) == ["seen-mindsphere", "seen-cumulocity", "seen-smartrest", "seen-pelion"]
        told = world.post("subscriptions/apply", **seen(text)).text
        assert "cumulocity: 4 done, 0 failed" in told and "pelion: 2 done, 0 failed" in told
        assert world.get("subscriptions?ask=1").text.count("nothing would change.") == 4


def test_who_has_seen_what_is_lost_may_do_it(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
    with everywhere.console(**everywhere.environ(OTHER_FILTERS, rules=())) as world:
        text = world.get("subscriptions?ask=1").text
        assert "2 replaced. <strong>With 2 of them something is lost." in text
        assert "1 removed. <strong>Something is lost." in text
        assert (
            "<code>{&#34;apis&#34;:[&#34;events&#34;]}</code>. <strong>Lost:</strong> what happens in between" in text
        )
        assert re.search(r"Apply now: \d+ changes, 3 with losses", text)
        assert "0 failed" in world.post("subscriptions/apply", **seen(text)).text
        assert everywhere.filters(T123) == everywhere.filters(T124) == [{"apis": ["events"]}]
        assert "something is lost" not in world.get("subscriptions?ask=1").text


def test_who_has_not_seen_it_loses_nothing(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
    with everywhere.console(**everywhere.environ(OTHER_FILTERS, rules=())) as world:
        text = world.get("subscriptions").text
        assert "At Cumulocity Notification 2.0, Cumulocity real-time, Pelion nothing is removed" in text
        assert re.search(r"cumulocity: \d+ done, 2 failed", world.post("subscriptions/apply", **seen(text)).text)
        assert everywhere.filters(T123) == [{"apis": ["alarms"]}]
        assert "1 removed" in world.get("subscriptions?ask=1").text


def test_losses_that_are_not_all_shown_are_not_made(registered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "SHOWN_LINES", 2)
    for topic in ("one", "two", "three"):
        remember(registered, OTHER, topic)
    text = registered.get("subscriptions").text
    assert "At MindSphere nothing is removed" in text and "some of them with losses" in text
    answer = registered.post("subscriptions/apply", **seen(text)).text
    assert "mindsphere: not done: it would remove what was not shown" in answer
    assert registered.platform.calls == []


def test_what_was_left_for_hours_is_not_removed_unseen(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
    with everywhere.console(**everywhere.environ({**ALARMS, "name": "warmChain"})) as world:
        answer = world.post("subscriptions/apply", **seen(world.get("subscriptions").text)).text
        assert "cumulocity: not done: it would remove what was not shown" in answer
        assert everywhere.filters(T123) == everywhere.filters(T124) == [{"apis": ["alarms"]}]
        answer = world.post("subscriptions/apply", **seen(world.get("subscriptions?ask=1").text)).text
        assert re.search(r"cumulocity: \d+ done, 0 failed", answer)
        assert [rule["subscription"] for rule in everywhere.cumulocity.rules("t123")] == ["warmChain"]


def test_nobody_has_seen_what_a_platform_did_not_say(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
    everywhere.cumulocity.roles("t124")
    with everywhere.console(**everywhere.environ(OTHER_FILTERS)) as world:
        text = world.get("subscriptions?ask=1").text
        assert "1 replaced, 2 unsure" in text and "seen-cumulocity" not in text
        assert "At Cumulocity Notification 2.0 nothing is removed, or replaced with losses" in text
        world.post("subscriptions/apply", **seen(text))
        assert everywhere.filters(T123) == [{"apis": ["alarms"]}]


def test_a_plan_that_has_changed_since_is_shown_instead_of_being_done(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        world.post("subscriptions/apply")
        everywhere.rewrite(T123, ["events"])
        text = world.get("subscriptions?ask=1").text
        everywhere.rewrite(T124, ["measurements"])
        answer = world.post("subscriptions/apply", **seen(text))
        assert answer.status_code == 409 and "Nothing was done" in answer.text
        assert "With 2 of them something is lost" in answer.text and seen(answer.text) != seen(text)
        assert (everywhere.filters(T123), everywhere.filters(T124)) == (
            [{"apis": ["events"]}],
            [{"apis": ["measurements"]}],
        )
        assert world.post("subscriptions/apply", **seen(answer.text)).status_code == 200
        assert everywhere.filters(T123) == everywhere.filters(T124) == [{"apis": ["alarms"]}]


def test_a_tenants_people_see_the_plan_of_their_own_and_apply_no_other(everywhere: Everywhere) -> None:
    with everywhere.console(**everywhere.environ()) as world:
        text = world.get("subscriptions?ask=1", tenant=ACME.name).text
        assert "cumulocity/t123" in text and "2 created" in text
        assert "t124" not in text and "Pelion" not in text and "Cumulocity real-time" not in text
        text = world.get("subscriptions?ask=1&tenant=cumulocity/t123", tenant=ACME.name).text
        answer = world.post("subscriptions/apply", ACME.name, tenant=str(T123), **seen(text))
        assert "cumulocity: 2 done, 0 failed" in answer.text
        assert (len(everywhere.filters(T123)), everywhere.filters(T124)) == (1, [])


def test_a_platform_that_is_away_hides_no_other_and_its_address_is_the_hosts_business(everywhere: Everywhere) -> None:
    environ = {**everywhere.environ(), "C8Y_BASEURL": "http://127.0.0.1:1"}
    with everywhere.console(**environ) as world:
        text = world.get("subscriptions?ask=1").text
        assert "Cumulocity Notification 2.0 was not reachable: its plan is unknown." in text
        assert "127.0.0.1:1" in text and "seen-pelion" in text and "seen-cumulocity" not in text
        text = world.get("subscriptions?ask=1", tenant=ACME.name).text
        assert "its plan is unknown" in text and "127.0.0.1:1" not in text
        text = world.post("subscriptions/apply", ACME.name, tenant=str(T123)).text
        assert "It was not done" in text and "127.0.0.1:1" not in text
        assert "127.0.0.1:1" in world.actions()[0][2]
