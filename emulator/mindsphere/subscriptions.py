"""Who wants which topic where: the Message Broker's memory.

A subscription is one per tenant context, topic, subscriber name and subscriber version ("Receiving MindSphere
Notifications", Registering a subscription). Each change is committed before it is answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from emulator.journal import Journal


class Key(NamedTuple):
    """What makes a subscription one."""

    tenant: str
    topic: str
    subscriber: str
    version: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """``active`` is False after a delete; the row stays so that the ledger can name it."""

    id: int
    key: Key
    uri: str
    active: bool = True


class Subscriptions:
    """Active ones by key, by (tenant, topic) and by tenant; all of them by number."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._load()

    def _load(self) -> None:
        self._by_id: dict[int, Subscription] = {}
        self._by_key: dict[Key, Subscription] = {}
        self._by_topic: dict[tuple[str, str], dict[int, Subscription]] = {}
        self._by_tenant: dict[str, dict[int, Subscription]] = {}
        rows = self._journal.db.execute(
            "SELECT id, tenant, topic, subscriber, version, uri, active FROM subscriptions ORDER BY id"
        )
        for id, tenant, topic, subscriber, version, uri, active in rows:
            self._keep(Subscription(id, Key(tenant, topic, subscriber, version), uri, bool(active)))

    def _keep(self, subscription: Subscription) -> None:
        self._by_id[subscription.id] = subscription
        if subscription.active:
            key = subscription.key
            self._by_key[key] = subscription
            self._by_topic.setdefault((key.tenant, key.topic), {})[subscription.id] = subscription
            self._by_tenant.setdefault(key.tenant, {})[subscription.id] = subscription

    def get(self, key: Key) -> Subscription | None:
        return self._by_key.get(key)

    def by_id(self, id: int) -> Subscription:
        return self._by_id[id]

    def matching(self, context: Iterable[str], topic: str) -> list[Subscription]:
        """Topic equal, and the subscription's tenant in the message's context."""
        return [
            subscription
            for tenant in dict.fromkeys(context)
            for subscription in self._by_topic.get((tenant, topic), {}).values()
        ]

    def put(self, key: Key, uri: str) -> bool:
        """True if this made a new one; a known one gets the new URI."""
        known = self._by_key.get(key)
        if known is not None:
            self._journal.db.execute("UPDATE subscriptions SET uri = ? WHERE id = ?", (uri, known.id))
            self._keep(replace(known, uri=uri))
            return False
        id = self._journal.db.execute(
            "INSERT INTO subscriptions (tenant, topic, subscriber, version, uri, active) VALUES (?, ?, ?, ?, ?, 1)",
            (*key, uri),
        ).lastrowid
        assert id is not None
        self._keep(Subscription(id, key, uri))
        return True

    def delete(self, subscription: Subscription) -> None:
        self._journal.db.execute("UPDATE subscriptions SET active = 0 WHERE id = ?", (subscription.id,))
        key = subscription.key
        del self._by_key[key]
        del self._by_topic[key.tenant, key.topic][subscription.id]
        del self._by_tenant[key.tenant][subscription.id]
        self._by_id[subscription.id] = replace(subscription, active=False)

    def of_tenant(self, tenant: str) -> list[Subscription]:
        return list(self._by_tenant.get(tenant, {}).values())

    def count(self, tenant: str) -> int:
        return len(self._by_tenant.get(tenant, ()))

    def page(self, after: int, limit: int) -> list[Subscription]:
        """Active ones whose number is above ``after``: a listing the platform does not have."""
        found = sorted(id for id in (s.id for s in self._by_key.values()) if id > after)
        return [self._by_id[id] for id in found[:limit]]

    def clear(self) -> None:
        self._journal.db.execute("DELETE FROM subscriptions")
        self._load()
