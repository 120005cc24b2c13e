"""What has to be done so that an application has the channel and the subscriptions that are configured. Pure.

Each of them has a row in the store, the memory of what is ours; the rows' columns:

| | topic | version | uri |
|---|---|---|---|
| channel | ``channel`` | its mode | the callback's address, else empty |
| presubscriptions, all in one | ``presubscriptions`` | empty | ours, as the platform writes them |
| a device's resource | device and path | empty | empty |

The platform has presubscriptions of other programs with the same key in the same list: those stay. A worker adds what
is missing and removes nothing; a person who has seen the plan also removes what is not configured any more. A channel
of another kind is nobody's to delete, unless a row says that it was ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from subscriber.model import PELION, Tenant
from subscriber.platforms.pelion.rules import CALLBACK, Presubscription
from subscriber.platforms.pelion_api import Registration, rules_document
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe, of_row
from subscriber.settings import PelionChannel
from subscriber.store import SubscriptionRow

CHANNEL, RULES = "channel", "presubscriptions"
CONFIRM_AFTER = timedelta(hours=1)  # subscriptions are asked about so often: devices come back without a word to us
SEEN_AFTER = timedelta(minutes=10)  # the channel's row is so exact: it dates what may have been lost
FAILED_AFTER = timedelta(minutes=5)  # a device that was away, or unknown, is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What the platform has. None: it was not asked."""

    mode: str  # of the application's channel; a word of the platform's for a kind that is none of ours; or empty
    registration: Registration | None = None  # of a callback
    rules: Sequence[Presubscription] | None = None
    observed: Mapping[str, frozenset[str]] | None = None  # paths by device; devices that were not asked are missing


def tenant_of(name: str) -> Tenant:
    """Whose notifications a channel brings."""
    return Tenant(PELION, name)


def of_channel(name: str, mode: str, address: str = "") -> Subscription:
    """A channel as subscriptions are kept and shown. ``address``: a callback's."""
    return _subscription(name, CHANNEL, version=mode, uri=address)


def of_rules(name: str, rules: Iterable[Presubscription]) -> Subscription:
    """Presubscriptions as subscriptions are kept and shown."""
    return _subscription(name, RULES, uri=orjson.dumps(rules_document(rules)).decode())


def of_resource(name: str, ep: str, path: str) -> Subscription:
    """A resource as subscriptions are kept and shown."""
    return _subscription(name, f"{ep}{path}")


def _subscription(name: str, topic: str, *, version: str = "", uri: str = "") -> Subscription:
    return Subscription(tenant=tenant_of(name), topic=topic, subscriber="", version=version, uri=uri)


def rules_of(subscription: Subscription) -> tuple[Presubscription, ...]:
    """The presubscriptions that a subscription of RULES is about."""
    return tuple(
        Presubscription(
            endpoint_name=entry.get("endpoint-name", ""),
            endpoint_type=entry.get("endpoint-type", ""),
            resource_paths=tuple(entry.get("resource-path", ())),
        )
        for entry in orjson.loads(subscription.uri)
    )


def resource_of(subscription: Subscription) -> tuple[str, str]:
    """Device and path of a resource's subscription."""
    ep, slash, path = subscription.topic.partition("/")
    return ep, slash + path


def devices_due(channel: PelionChannel, rows: Iterable[SubscriptionRow], now: datetime) -> list[str]:
    """Devices of which a subscription is not known to be in place, or was not asked about for a while."""
    fresh = {row.topic for row in rows if not is_due(row, now)}
    return [one.ep for one in channel.subscriptions if any(f"{one.ep}{path}" not in fresh for path in one.paths)]


def is_due(row: SubscriptionRow, now: datetime) -> bool:
    """Is it time to ask about a subscription again?"""
    return now >= row.updated_at + (CONFIRM_AFTER if row.state == "active" else FAILED_AFTER)


def plan(
    channel: PelionChannel,
    address: str,
    actual: Actual,
    rows: Iterable[SubscriptionRow],
    now: datetime,
    *,
    removing: bool,
) -> list[Change]:
    """The changes of one application, its channel first. ``removing``: what is not configured any more goes.

    Why: new, failed (the last time), lost (the platform has it no more), moved (a callback's address or headers are
    others), changed (the presubscriptions), kind (there is a channel of another kind), dropped (not wanted any more).
    """
    remembered = {(row.topic, row.version): row for row in rows}
    want = of_channel(channel.name, channel.mode, address)
    changes = _channel_changes(channel, want, actual, remembered, now, removing)
    changes += _rules_changes(channel, actual.rules, remembered.pop((RULES, ""), None), now, removing)
    for one in channel.subscriptions:
        for path in one.paths:
            subscription = of_resource(channel.name, one.ep, path)
            row = remembered.pop((subscription.topic, ""), None)
            observed = None if actual.observed is None else actual.observed.get(one.ep)
            changes.append(_resource_change(subscription, path, observed, row, now))
    left = [row for (topic, _), row in remembered.items() if topic not in (CHANNEL, RULES)]
    return [*changes, *(Unsubscribe(of_row(row), "dropped") for row in left if removing)]


def removals(rows: Iterable[SubscriptionRow], why: str) -> list[Change]:
    """What removes all of them: the channel last, it brings what is still under way."""
    gone = [of_row(row) for row in rows]
    return [Unsubscribe(one, why) for one in sorted(gone, key=lambda one: one.topic == CHANNEL)]


def loss(change: Change, rows: Iterable[SubscriptionRow]) -> str:
    """What nobody gets any more because of a change, in words; empty: nothing. ``rows``: the application's."""
    topic = change.subscription.topic
    match change:
        case Unsubscribe():
            return "what waits in its queue" if topic == CHANNEL else "its values from then on"
        case Subscribe() if topic == RULES:
            before = {rule for row in rows if row.topic == RULES for rule in rules_of(of_row(row))}
            return "" if before <= set(rules_of(change.subscription)) else "values that are configured no more"
    return ""


def _channel_changes(
    channel: PelionChannel,
    want: Subscription,
    actual: Actual,
    remembered: Mapping[tuple[str, str], SubscriptionRow],
    now: datetime,
    removing: bool,
) -> list[Change]:
    row = remembered.get((CHANNEL, channel.mode))
    other = remembered.get((CHANNEL, actual.mode))
    if actual.mode and actual.mode != channel.mode:
        if other is not None and removing:
            return [Unsubscribe(of_row(other), "dropped"), Subscribe(want, "new")]
        return [Subscribe(want, "kind")]
    if not actual.mode:
        return [Subscribe(want, _why(row))]
    if channel.mode == CALLBACK and not _as_registered(channel, want.uri, actual.registration):
        return [Subscribe(want, "moved")]
    due = row is None or row.state != "active" or row.uri != want.uri or now >= row.updated_at + SEEN_AFTER
    return [Keep(want, due=due)]


def _as_registered(channel: PelionChannel, address: str, found: Registration | None) -> bool:
    """Header names may come back in another case."""
    if found is None or not found.complete or found.url != address:
        return False
    ours = {name.lower(): value for name, value in channel.callback_headers.items()}
    return ours == {name.lower(): value for name, value in found.headers.items()}


def _rules_changes(
    channel: PelionChannel,
    actual: Sequence[Presubscription] | None,
    row: SubscriptionRow | None,
    now: datetime,
    removing: bool,
) -> list[Change]:
    before = () if row is None else rules_of(of_row(row))
    target = tuple(dict.fromkeys(channel.presubscriptions if removing else (*channel.presubscriptions, *before)))
    if not target:
        return [] if row is None else [Unsubscribe(of_row(row), "dropped")]
    want = of_rules(channel.name, target)
    if actual is None:
        return [Keep(want)]
    surplus = set(before).difference(target)
    if surplus.isdisjoint(actual) and set(target) <= set(actual):
        return [Keep(want, due=row is None or row.uri != want.uri or is_due(row, now))]
    return [Subscribe(want, "changed" if row is not None and row.uri != want.uri else _why(row))]


def _resource_change(
    subscription: Subscription,
    path: str,
    observed: frozenset[str] | None,
    row: SubscriptionRow | None,
    now: datetime,
) -> Change:
    if observed is None:
        return Keep(subscription)
    if path not in observed:
        return Subscribe(subscription, _why(row))
    return Keep(subscription, due=row is None or row.state != "active" or is_due(row, now))


def _why(row: SubscriptionRow | None) -> str:
    return "new" if row is None else "lost" if row.state == "active" else row.state
