"""What has to be done, as a table of what is remembered, what there is, and what is configured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from subscriber.pelion.plan import (
    Actual,
    devices_due,
    loss,
    of_channel,
    of_resource,
    of_rules,
    plan,
    removals,
    resource_of,
    rules_of,
)
from subscriber.platforms.pelion.rules import Presubscription, ResourceSubscription
from subscriber.platforms.pelion_api import Registration
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe, as_row
from subscriber.settings import PelionChannel
from subscriber.store import SubscriptionRow
from tests.store.making import START

ADDRESS = "https://hooks.example.org/notifications/pelion/cellar"
LIGHTS = Presubscription(endpoint_type="Light", resource_paths=("/3311/*",))
THEIRS = Presubscription(resource_paths=("/3/0/0",))
CALLBACK = of_channel("cellar", "callback", ADDRESS)
WEBSOCKET = of_channel("cellar", "websocket")
PATH = "/3303/0/5700"


def channel(mode: str = "callback", **more: Any) -> PelionChannel:
    return PelionChannel(
        name="cellar", api_key="k", host="https://x", mode=mode, headers=(("X-Team", "cold"),), **more
    )


def row(subscription: Subscription, state: str = "active", age: timedelta = timedelta(0)) -> SubscriptionRow:
    made = as_row(subscription, state)
    return SubscriptionRow(**{name: getattr(made, name) for name in made.__slots__} | {"updated_at": START - age})


def registered(**more: Any) -> Registration:
    named = {name.upper(): value for name, value in channel().callback_headers.items()}
    return Registration(**{"url": ADDRESS, "headers": named, "complete": True, **more})


def told(changes: list[Change]) -> list[tuple[str, str, str]]:
    """(kind, topic, why); what is kept and not due is left out."""
    return [
        (type(one).__name__, one.subscription.topic, one.why)
        for one in changes
        if not isinstance(one, Keep) or one.due
    ]


def planned(
    configured: PelionChannel, actual: Actual, *rows: SubscriptionRow, removing: bool = False
) -> list[tuple[str, str, str]]:
    address = ADDRESS if configured.mode == "callback" else ""
    return told(plan(configured, address, actual, rows, START, removing=removing))


HERE = Actual(mode="callback", registration=registered())


@pytest.mark.parametrize(
    ("actual", "rows", "expected"),
    [
        (Actual(mode=""), [], ("Subscribe", "channel", "new")),
        (Actual(mode=""), [row(CALLBACK)], ("Subscribe", "channel", "lost")),
        (Actual(mode=""), [row(CALLBACK, "failed")], ("Subscribe", "channel", "failed")),
        (HERE, [], ("Keep", "channel", "keep")),
        (HERE, [row(CALLBACK, "failed")], ("Keep", "channel", "keep")),
        (HERE, [row(CALLBACK, age=timedelta(minutes=10))], ("Keep", "channel", "keep")),
        (HERE, [row(of_channel("cellar", "callback", "https://old"))], ("Keep", "channel", "keep")),
        (Actual(mode="callback", registration=None), [row(CALLBACK)], ("Subscribe", "channel", "moved")),
        (
            Actual(mode="callback", registration=registered(url="https://old")),
            [row(CALLBACK)],
            ("Subscribe", "channel", "moved"),
        ),
        (
            Actual(mode="callback", registration=registered(headers={"X-Team": "cold"})),
            [row(CALLBACK)],
            ("Subscribe", "channel", "moved"),
        ),
        (
            Actual(mode="callback", registration=registered(complete=False)),
            [row(CALLBACK)],
            ("Subscribe", "channel", "moved"),
        ),
        (Actual(mode="websocket"), [], ("Subscribe", "channel", "kind")),
        (Actual(mode="LONG_POLLING"), [row(CALLBACK)], ("Subscribe", "channel", "kind")),
    ],
)
def test_a_channel(actual: Actual, rows: list[SubscriptionRow], expected: tuple[str, str, str]) -> None:
    assert planned(channel(), actual, *rows) == [expected]


def test_a_channel_that_stands_and_was_seen_lately_needs_nothing() -> None:
    assert planned(channel(), HERE, row(CALLBACK, age=timedelta(minutes=9))) == []


def test_our_own_channel_of_the_other_mode_goes_only_where_things_are_removed() -> None:
    other = Actual(mode="websocket")
    assert planned(channel(), other, row(WEBSOCKET)) == [("Subscribe", "channel", "kind")]
    assert planned(channel(), other, row(WEBSOCKET), removing=True) == [
        ("Unsubscribe", "channel", "dropped"),
        ("Subscribe", "channel", "new"),
    ]


RULES = of_rules("cellar", [LIGHTS])


@pytest.mark.parametrize(
    ("configured", "there", "rows", "removing", "expected"),
    [
        ([LIGHTS], [], [], False, [("Subscribe", "presubscriptions", "new")]),
        ([LIGHTS], [THEIRS, LIGHTS], [], False, [("Keep", "presubscriptions", "keep")]),
        ([LIGHTS], [LIGHTS], [row(RULES)], False, []),
        ([LIGHTS], [LIGHTS], [row(RULES, age=timedelta(hours=1))], False, [("Keep", "presubscriptions", "keep")]),
        ([LIGHTS], [THEIRS], [row(RULES)], False, [("Subscribe", "presubscriptions", "lost")]),
        ([LIGHTS], None, [row(RULES)], False, []),
        ([], [LIGHTS], [row(RULES)], False, []),
        ([], [LIGHTS], [row(RULES)], True, [("Unsubscribe", "presubscriptions", "dropped")]),
        ([THEIRS], [LIGHTS], [row(RULES)], False, [("Subscribe", "presubscriptions", "changed")]),
        ([THEIRS], [LIGHTS, THEIRS], [row(RULES)], True, [("Subscribe", "presubscriptions", "changed")]),
        ([], [THEIRS], [], True, []),
    ],
)
def test_presubscriptions(
    configured: list[Presubscription],
    there: list[Presubscription] | None,
    rows: list[SubscriptionRow],
    removing: bool,
    expected: list[tuple[str, str, str]],
) -> None:
    actual = Actual(mode="websocket", rules=there)
    wanted = channel("websocket", presubscriptions=tuple(configured))
    assert planned(wanted, actual, row(WEBSOCKET), *rows, removing=removing) == expected


def test_a_worker_remembers_what_it_did_not_remove() -> None:
    wanted = channel("websocket", presubscriptions=(THEIRS,))
    changes = plan(wanted, "", Actual(mode="websocket", rules=[]), [row(RULES)], START, removing=False)
    assert rules_of(changes[1].subscription) == (THEIRS, LIGHTS)


RESOURCE = of_resource("cellar", "dev1", PATH)


@pytest.mark.parametrize(
    ("observed", "rows", "expected"),
    [
        ({}, [row(RESOURCE)], []),
        ({"dev1": frozenset()}, [], [("Subscribe", f"dev1{PATH}", "new")]),
        ({"dev1": frozenset()}, [row(RESOURCE)], [("Subscribe", f"dev1{PATH}", "lost")]),
        ({"dev1": frozenset()}, [row(RESOURCE, "failed")], [("Subscribe", f"dev1{PATH}", "failed")]),
        ({"dev1": frozenset({PATH})}, [row(RESOURCE)], []),
        ({"dev1": frozenset({PATH})}, [], [("Keep", f"dev1{PATH}", "keep")]),
        ({"dev1": frozenset({PATH})}, [row(RESOURCE, "failed")], [("Keep", f"dev1{PATH}", "keep")]),
    ],
)
def test_resources(
    observed: dict[str, frozenset[str]], rows: list[SubscriptionRow], expected: list[tuple[str, str, str]]
) -> None:
    wanted = channel("websocket", subscriptions=(ResourceSubscription(ep="dev1", paths=(PATH,)),))
    actual = Actual(mode="websocket", observed=observed)
    assert planned(wanted, actual, row(WEBSOCKET), *rows) == expected


def test_resources_that_are_not_configured_any_more_go_where_things_are_removed() -> None:
    actual = Actual(mode="websocket", observed={})
    rows = (row(WEBSOCKET), row(RESOURCE))
    assert planned(channel("websocket"), actual, *rows) == []
    assert planned(channel("websocket"), actual, *rows, removing=True) == [("Unsubscribe", f"dev1{PATH}", "dropped")]


@pytest.mark.parametrize(
    ("rows", "due"),
    [
        ([], ["dev1"]),
        ([row(RESOURCE)], []),
        ([row(RESOURCE, age=timedelta(hours=1))], ["dev1"]),
        ([row(RESOURCE, "failed", timedelta(minutes=4))], []),
        ([row(RESOURCE, "failed", timedelta(minutes=5))], ["dev1"]),
    ],
)
def test_devices_are_asked_about_when_due(rows: list[SubscriptionRow], due: list[str]) -> None:
    wanted = channel("websocket", subscriptions=(ResourceSubscription(ep="dev1", paths=(PATH,)),))
    assert devices_due(wanted, rows, START) == due


def test_what_is_removed_ends_with_the_channel() -> None:
    changes = removals([row(WEBSOCKET), row(RESOURCE), row(RULES)], "asked")
    assert [one.subscription.topic for one in changes] == [f"dev1{PATH}", "presubscriptions", "channel"]
    assert all(isinstance(one, Unsubscribe) and one.why == "asked" for one in changes)


def test_a_subscription_says_what_it_is_about() -> None:
    assert resource_of(RESOURCE) == ("dev1", PATH)
    assert rules_of(of_rules("cellar", [LIGHTS, THEIRS, Presubscription()])) == (LIGHTS, THEIRS, Presubscription())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Subscribe(CALLBACK, "moved"), ""),
        (Unsubscribe(WEBSOCKET, "dropped"), "what waits in its queue"),
        (Unsubscribe(of_resource("cellar", "d", PATH), "dropped"), "its values from then on"),
        (Subscribe(of_rules("cellar", [THEIRS]), "changed"), "values that are configured no more"),
        (Subscribe(of_rules("cellar", [LIGHTS, THEIRS]), "changed"), ""),
        (Subscribe(of_resource("cellar", "d", PATH), "lost"), ""),
    ],
)
def test_a_change_says_what_is_lost_by_it(change: Change, words: str) -> None:
    assert loss(change, [row(of_rules("cellar", [LIGHTS])), row(CALLBACK)]) == words
