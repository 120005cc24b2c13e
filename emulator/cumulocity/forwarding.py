"""From changes to topics: every rule that matches a change copies it into its topic.

"Notifications 2.0, overview", the table of contexts and APIs: a tenant's rules see managed objects being created, a
managed object's rules see it changed and deleted; alarms and events of descendants come under ``…WithChildren``. A
rule's API ``*`` therefore brings an object's own alarm twice. Two rules that match feed one topic twice (assumed).
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from emulator.clock import Clock
from emulator.cumulocity.changes import Action, Change
from emulator.cumulocity.errors import Refused
from emulator.cumulocity.filters import FAMILIES, WITH_CHILDREN, projected
from emulator.cumulocity.inventory import API as MANAGED_OBJECTS
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.messaging import Messaging, QuotaReached
from emulator.cumulocity.rules import MO, TENANT, Rule, Rules
from emulator.cumulocity.tokens import NAMESPACE
from emulator.cumulocity.topics import TopicKey
from emulator.knobs import Panel


class Forwarding:
    """A listener of the feed. ``published`` counts message x consumer, as the ledger does."""

    def __init__(self, rules: Rules, inventory: Inventory, messaging: Messaging, clock: Clock, panel: Panel) -> None:
        self._rules = rules
        self._inventory = inventory
        self._messaging = messaging
        self._clock = clock
        self._panel = panel
        self.published = 0

    def hear(self, change: Change) -> None:
        """500 if a topic is full, after all others have it: what made the change is stored all the same."""
        full = False
        for rule, api in self._matches(change):
            key = TopicKey(change.tenant, NAMESPACE, rule.name, rule.volatile)
            if not self._messaging.wanted(key):
                continue
            body = orjson.dumps(projected(change.document, rule.fragments))
            try:
                self.published += self._messaging.publish(key, api, change.source, change.action, body)
            except QuotaReached:
                full = True
        if change.api == MANAGED_OBJECTS and change.action is Action.DELETE:
            self._rules.remove(self._rules.at(change.tenant, MO, change.source))
        if full:
            raise Refused(500, "reliable-notification/Internal Error", "the backlog of a subscription is full")

    def _matches(self, change: Change) -> Iterator[tuple[Rule, str]]:
        """Rules with the API they see the change under."""
        in_force_before = self._clock.now() - self._panel.now.n2_rule_delay_s
        for rule, api in self._placed(change):
            if rule.made_at <= in_force_before and rule.lets_through(api, change.type):
                yield rule, api

    def _placed(self, change: Change) -> Iterator[tuple[Rule, str]]:
        created = change.action is Action.CREATE
        if change.api != MANAGED_OBJECTS or created:
            yield from ((rule, change.api) for rule in self._rules.at(change.tenant, TENANT))
        if change.api != MANAGED_OBJECTS or not created:
            yield from ((rule, change.api) for rule in self._rules.at(change.tenant, MO, change.source))
        if change.api in FAMILIES:
            for id in (change.source, *self._inventory.ancestors(change.tenant, change.source)):
                at = self._rules.at(change.tenant, MO, id)
                yield from ((rule, change.api + WITH_CHILDREN) for rule in at)
