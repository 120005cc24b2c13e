"""What has to be done about one tenant, from what is remembered of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from subscriber.registration.plan import (
    CONFIRM_AFTER,
    Keep,
    Subscribe,
    Target,
    Unsubscribe,
    is_due,
    of_row,
    older,
    plan,
)
from subscriber.store import SubscriptionRow
from tests.registration.conftest import ASSETS, CUSTAA, EVENTS, row, subscription
from tests.store.making import START

TARGET = Target(subscriber="alarmapi", version="v1.4.2", uri="https://g/one")
ONE = subscription()
OLD = subscription(version="v1.4.1")


def fresh(wanted: SubscriptionRow) -> SubscriptionRow:
    return replace(wanted, updated_at=START)


@pytest.mark.parametrize(
    ("actual", "change"),
    [
        ([], Subscribe(ONE, "new")),
        ([row(ONE)], Keep(ONE)),
        ([row(ONE, "failed")], Subscribe(ONE, "failed")),
        ([row(ONE, "stale")], Subscribe(ONE, "stale")),
        ([row(replace(ONE, uri="https://g/old"))], Subscribe(ONE, "moved")),
    ],
    ids=["nothing", "in place", "failed", "its tenant is back", "address"],
)
def test_what_is_wanted_is_asked_for_unless_it_is_in_place(actual: list[SubscriptionRow], change: object) -> None:
    assert plan(CUSTAA, [EVENTS], TARGET, map(fresh, actual), START) == [change]


def test_the_plan_keeps_the_order_of_the_topics_and_asks_for_each_once() -> None:
    changes = plan(CUSTAA, [ASSETS, EVENTS, ASSETS], TARGET, [], START)
    assert [change.subscription.topic for change in changes] == [ASSETS, EVENTS]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(ONE, topic=ASSETS), "topic"),
        (OLD, "version"),
        (replace(ONE, version="v1.5.0"), ""),
        (replace(ONE, version="strange"), ""),
        (replace(ONE, subscriber="other"), ""),
    ],
    ids=["topic taken out", "older version", "newer version", "no version", "somebody else's"],
)
def test_what_is_not_wanted_goes_if_it_is_ours_and_not_newer(other: object, why: str) -> None:
    changes = plan(CUSTAA, [EVENTS], TARGET, [fresh(row(ONE)), fresh(row(other))], START)  # type: ignore[arg-type]
    assert changes == [Keep(ONE)] + ([Unsubscribe(other, why)] if why else [])  # type: ignore[arg-type]


def test_all_that_is_left_of_a_tenant_that_is_not_served_goes() -> None:
    changes = plan(CUSTAA, [], TARGET, [fresh(row(ONE)), fresh(row(OLD))], START)
    assert changes == [Unsubscribe(ONE, "tenant"), Unsubscribe(OLD, "tenant")]


def test_what_could_not_be_removed_is_tried_again_when_its_day_has_come() -> None:
    stale = fresh(row(OLD, "stale"))
    assert plan(CUSTAA, [], TARGET, [stale], START) == []
    assert plan(CUSTAA, [], TARGET, [stale], START + 1.5 * CONFIRM_AFTER) == [Unsubscribe(OLD, "tenant")]


def test_rows_in_place_are_confirmed_each_at_a_moment_of_its_own_around_once_a_day() -> None:
    rows = [fresh(row(subscription(topic=f"t{number}"))) for number in range(400)]
    half, whole = (sum(is_due(one, START + timedelta(hours=hours)) for one in rows) for hours in (24, 36))
    assert not any(is_due(one, START + timedelta(hours=11.9)) for one in rows)
    assert 150 < half < 250 and whole == 400


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("v1.4.2", "v1.5.0", True),
        ("v1.9.0", "v1.10.0", True),
        ("v1.5.0", "v1.4.2", False),
        ("v1.4.2", "v1.4.2", False),
        ("v1.4.2-rc", "v1.4.2", True),
        ("v1.4.2", "v1.4.2-rc", False),
        ("1.4.2", "v1.5.0", True),
        ("latest", "v1.5.0", False),
        ("v1.4.2", "latest", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, than: str, expected: bool) -> None:
    assert older(version, than) is expected


def test_a_row_says_what_it_is_about() -> None:
    assert of_row(row(ONE)) == ONE
