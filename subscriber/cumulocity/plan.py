"""What has to be done so that a tenant has the rules and consumers that are configured, and no others of ours. Pure.

A subscription of ours is one of two things, and each has a row in the store: a **rule** that the platform keeps for
one source under a name, and the **consumer** of that name. Rows are the memory of what is ours: rules that nobody
here remembers belong to somebody else and stay. The rows' columns:

| | topic | subscriber | version | uri |
|---|---|---|---|---|
| rule | name/source, or name/* | empty | persistent, nonPersistent | its filters, as JSON |
| consumer | name | its name | the same | exclusive, shared |

What is not configured any more is a leftover only after LEFTOVER_AFTER without anybody confirming it: while a new
release is rolled out, instances of both run, and neither may remove what the other has just made. A person who has
seen the plan need not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from subscriber.model import Tenant
from subscriber.platforms.cumulocity_api import Grant, Rule, StoredRule
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe, of_row
from subscriber.settings import NamedSubscription
from subscriber.store import SubscriptionRow

CONFIRM_AFTER = timedelta(minutes=45)  # a row says at least so often that somebody still wants it
LEFTOVER_AFTER = timedelta(hours=3)  # four confirmations missed
WHOLE_TENANT = "*"
PERSISTENT, NON_PERSISTENT = "persistent", "nonPersistent"
EXCLUSIVE, SHARED = "exclusive", "shared"

Key = tuple[str, str, str]  # topic, subscriber, version


def of_rule(tenant: Tenant, rule: Rule) -> Subscription:
    """A rule as subscriptions are kept and shown."""
    filters = {"apis": rule.apis, "types": rule.types, "fragments": rule.fragments}
    return Subscription(
        tenant=tenant,
        topic=f"{rule.name}/{rule.source or WHOLE_TENANT}",
        subscriber="",
        version=_version(rule.non_persistent),
        uri=orjson.dumps({name: value for name, value in filters.items() if value}).decode(),
    )


def of_consumer(tenant: Tenant, grant: Grant) -> Subscription:
    """A consumer as subscriptions are kept and shown."""
    return Subscription(
        tenant=tenant,
        topic=grant.subscription,
        subscriber=grant.subscriber,
        version=_version(grant.non_persistent),
        uri=SHARED if grant.shared else EXCLUSIVE,
    )


def _version(non_persistent: bool) -> str:
    return NON_PERSISTENT if non_persistent else PERSISTENT


def rule_of(subscription: Subscription) -> Rule | None:
    """The rule that a subscription is about; None for a consumer."""
    name, slash, source = subscription.topic.partition("/")
    if not slash:
        return None
    filters = {member: tuple(values) for member, values in orjson.loads(subscription.uri).items()}
    return Rule(
        name=name,
        source="" if source == WHOLE_TENANT else source,
        non_persistent=subscription.version == NON_PERSISTENT,
        **filters,
    )


def grant_of(subscription: Subscription) -> Grant:
    """What a token of a consumer is asked for with. Its options do not matter where it is used at once."""
    return Grant(
        subscription=subscription.topic,
        subscriber=subscription.subscriber,
        shared=subscription.uri == SHARED,
        non_persistent=subscription.version == NON_PERSISTENT,
    )


def plan(
    tenant: Tenant,
    wanted: Sequence[NamedSubscription],
    actual: Iterable[StoredRule],
    rows: Iterable[SubscriptionRow],
    now: datetime,
    leftover_after: timedelta = LEFTOVER_AFTER,
) -> list[Change]:
    """The changes of one tenant. ``actual``: what the platform has under the names that are wanted.

    Leftovers first, rules before consumers, since a consumer that is gone keeps nothing of what still comes; then
    what is wanted, rules before their consumer. Why: new, failed (the last time), lost (the platform has it no more),
    differs (in its filters or its kind: it is deleted and made anew), dropped (not wanted any more).
    """
    remembered: dict[Key, SubscriptionRow] = {_key(of_row(row)): row for row in rows}
    there = {stored.rule.place: stored.rule for stored in actual}
    changes: list[Change] = []
    for named in wanted:
        for rule in named.rules:
            subscription = of_rule(tenant, rule)
            row = remembered.pop(_key(subscription), None)
            changes.append(_rule_change(subscription, rule, there, row, now))
        consumer = of_consumer(tenant, named.grant)
        changes.append(_consumer_change(consumer, remembered.pop(_key(consumer), None), now))
    dropped = [row for row in remembered.values() if now >= row.updated_at + leftover_after]
    return [*removals(dropped, "dropped"), *changes]


def removals(rows: Iterable[SubscriptionRow], why: str) -> list[Change]:
    """What removes all of them: rules first, then their consumers."""
    gone = [of_row(row) for row in rows]
    return [Unsubscribe(one, why) for one in sorted(gone, key=lambda one: rule_of(one) is None)]


def loss(change: Change) -> str:
    """What nobody gets any more because of a change that a person agreed to, in words; empty: nothing is lost."""
    consumer = rule_of(change.subscription) is None
    match change:
        case Subscribe(_, "differs"):
            return "what waits for the consumer" if consumer else "what happens in between; some may come twice"
        case Unsubscribe():
            return "what waits for the consumer" if consumer else "what happens from then on"
    return ""


def _rule_change(
    subscription: Subscription,
    rule: Rule,
    there: Mapping[tuple[str, str, bool], Rule],
    row: SubscriptionRow | None,
    now: datetime,
) -> Change:
    found = there.get(rule.place)
    if found is None:
        return Subscribe(subscription, "new" if row is None else "lost" if row.state == "active" else row.state)
    if found != rule:
        return Subscribe(subscription, "differs")
    return Keep(subscription, due=_unsaid(row, now))


def _consumer_change(consumer: Subscription, row: SubscriptionRow | None, now: datetime) -> Change:
    """A consumer cannot be looked up; the channel's own state says how it is."""
    if row is None or row.state != "active":
        return Subscribe(consumer, "new" if row is None else row.state)
    if row.uri != consumer.uri:
        return Subscribe(consumer, "differs")
    return Keep(consumer, due=_unsaid(row, now))


def _unsaid(row: SubscriptionRow | None, now: datetime) -> bool:
    """Does the row have to be written, so that it says what is so and that somebody wants it?"""
    return row is None or row.state != "active" or now >= row.updated_at + CONFIRM_AFTER


def _key(subscription: Subscription) -> Key:
    return subscription.topic, subscription.subscriber, subscription.version
