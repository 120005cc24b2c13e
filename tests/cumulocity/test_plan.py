"""What has to be done, by what is wanted, what is there and what is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from subscriber.cumulocity.plan import (
    CONFIRM_AFTER,
    LEFTOVER_AFTER,
    grant_of,
    loss,
    of_consumer,
    of_rule,
    plan,
    removals,
    rule_of,
)
from subscriber.platforms.cumulocity_api import Grant, Rule, StoredRule
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe, as_row
from subscriber.settings import NamedSubscription
from subscriber.store import SubscriptionRow
from tests.cumulocity.conftest import T123
from tests.store.making import START

GRANT = Grant(subscription="cold", subscriber="ingest")
RULE = Rule(name="cold", apis=("alarms",))
DEVICE = Rule(name="cold", source="5010", apis=("events",))
WANTED = NamedSubscription(grant=GRANT, rules=(RULE, DEVICE))


def row(one: Subscription, state: str = "active", age: timedelta = timedelta(0)) -> SubscriptionRow:
    return replace(as_row(one, state), updated_at=START - age)


def remembered(age: timedelta = timedelta(0)) -> list[SubscriptionRow]:
    return [
        row(of_rule(T123, RULE), age=age),
        row(of_rule(T123, DEVICE), age=age),
        row(of_consumer(T123, GRANT), age=age),
    ]


def there(*rules: Rule) -> list[StoredRule]:
    return [StoredRule(str(number), rule) for number, rule in enumerate(rules)]


def told(changes: Iterable[Change]) -> list[tuple[str, str]]:
    return [(change.subscription.topic, change.why) for change in changes]


@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        DEVICE,
        Rule(name="all"),
        Rule(name="cut", source="7", types=("it's", "b c"), fragments=("acme_A",), non_persistent=True),
    ],
)
def test_a_row_says_all_of_its_rule(rule: Rule) -> None:
    assert rule_of(of_rule(T123, rule)) == rule


def test_a_row_says_all_that_ends_its_consumer() -> None:
    grant = Grant(subscription="cold", subscriber="ingest", shared=True, non_persistent=True)
    assert grant_of(of_consumer(T123, grant)) == grant
    assert rule_of(of_consumer(T123, grant)) is None


def test_rules_come_before_their_consumer() -> None:
    assert told(plan(T123, [WANTED], (), (), START)) == [("cold/*", "new"), ("cold/5010", "new"), ("cold", "new")]


def test_what_is_there_and_remembered_is_kept() -> None:
    changes = plan(T123, [WANTED], there(RULE, DEVICE), remembered(), START)
    assert changes == [Keep(change.subscription) for change in changes]


def test_what_is_kept_says_now_and_then_that_somebody_wants_it() -> None:
    changes = plan(T123, [WANTED], there(RULE, DEVICE), remembered(CONFIRM_AFTER), START)
    assert changes == [Keep(change.subscription, due=True) for change in changes]


def test_a_rule_that_is_there_and_not_remembered_is_ours_from_now_on() -> None:
    (first, *_) = plan(T123, [WANTED], there(RULE, DEVICE), (), START)
    assert first == Keep(of_rule(T123, RULE), due=True)


@pytest.mark.parametrize(("state", "why"), [("active", "lost"), ("failed", "failed"), ("stale", "stale")])
def test_a_rule_that_is_remembered_and_not_there_is_made_again(state: str, why: str) -> None:
    rows = [row(of_rule(T123, RULE), state)]
    assert ("cold/*", why) in told(plan(T123, [WANTED], there(DEVICE), rows, START))


def test_other_filters_are_said_to_differ_and_order_makes_no_difference() -> None:
    other = replace(RULE, apis=("alarms", "events"))
    assert told(plan(T123, [WANTED], there(other, DEVICE), remembered(), START))[0] == ("cold/*", "differs")


def test_a_consumer_of_the_other_kind_differs() -> None:
    rows = [row(of_consumer(T123, replace(GRANT, shared=True)))]
    assert told(plan(T123, [WANTED], (), rows, START))[-1] == ("cold", "differs")


def test_what_is_not_wanted_goes_first_rules_before_consumers_once_it_is_old() -> None:
    old = Grant(subscription="cold", subscriber="before")
    rows = [
        row(of_consumer(T123, old), age=LEFTOVER_AFTER),
        row(of_rule(T123, Rule(name="gone")), age=LEFTOVER_AFTER),
    ]
    changes = plan(T123, [], (), rows, START)
    assert changes == [
        Unsubscribe(of_rule(T123, Rule(name="gone")), "dropped"),
        Unsubscribe(of_consumer(T123, old), "dropped"),
    ]


def test_what_was_wanted_a_moment_ago_is_left_to_whoever_wants_it() -> None:
    assert plan(T123, [], (), remembered(LEFTOVER_AFTER / 2), START) == []
    assert len(plan(T123, [], (), remembered(), START, timedelta(0))) == 3


def test_a_topic_that_becomes_non_persistent_is_another_one() -> None:
    rule = replace(RULE, non_persistent=True)
    wanted = NamedSubscription(grant=replace(GRANT, non_persistent=True), rules=(rule,))
    rows = [row(of_rule(T123, RULE)), row(of_consumer(T123, GRANT))]
    changes = plan(T123, [wanted], there(RULE), rows, START, timedelta(0))
    assert told(changes) == [("cold/*", "dropped"), ("cold", "dropped"), ("cold/*", "new"), ("cold", "new")]


def test_removing_takes_rules_before_consumers() -> None:
    rows = [row(of_consumer(T123, GRANT)), row(of_rule(T123, RULE))]
    assert told(removals(rows, "asked")) == [("cold/*", "asked"), ("cold", "asked")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Subscribe(of_rule(T123, RULE), "new"), ""),
        (Subscribe(of_rule(T123, RULE), "lost"), ""),
        (Subscribe(of_rule(T123, RULE), "differs"), "what happens in between; some may come twice"),
        (Subscribe(of_consumer(T123, GRANT), "differs"), "what waits for the consumer"),
        (Unsubscribe(of_rule(T123, RULE), "dropped"), "what happens from then on"),
        (Unsubscribe(of_consumer(T123, GRANT), "dropped"), "what waits for the consumer"),
    ],
)
def test_a_change_says_what_is_lost_by_it(change: Change, words: str) -> None:
    assert loss(change) == words
