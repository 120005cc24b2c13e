"""Who observes what: manual subscriptions, and rules that subscribe when devices register (presubscriptions).

Both belong to an application. A manual subscription ends with the device's next full registration; what a rule made
lasts as long as the rule, and is looked at again at each registration and update. Rules: name and type up to 64
characters, path up to 128, a trailing ``*`` in each, at most 1024 rules and 256 different paths. That a rule without
a path takes every observable resource, and that ``endpoint-name`` may be the id or the device's own name, is assumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from emulator.journal import Journal
from emulator.pelion.devices import Device
from emulator.pelion.errors import Refusal

MAX_RULES, MAX_PATHS = 1024, 256
TEXT_LIMITS = {"endpoint-name": 64, "endpoint-type": 64}
PATH_LIMIT = 128
SCHEMA = """
CREATE TABLE IF NOT EXISTS pelion_subscriptions (
  application TEXT NOT NULL, ep TEXT NOT NULL, path TEXT NOT NULL, by_rule INTEGER NOT NULL,
  PRIMARY KEY (application, ep, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pelion_rules (application TEXT PRIMARY KEY, rules TEXT NOT NULL) WITHOUT ROWID
"""
Rule = dict[str, object]


@dataclass(frozen=True, slots=True)
class Subscription:
    application: str
    ep: str
    path: str


class Subscriptions:
    """In memory for reading, in the state file for keeping."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        db = journal.db
        self._of_device: dict[str, dict[Subscription, bool]] = {}  # the value: made by a rule
        for application, ep, path, by_rule in db.execute("SELECT * FROM pelion_subscriptions"):
            self._of_device.setdefault(ep, {})[Subscription(application, ep, path)] = bool(by_rule)
        rows = db.execute("SELECT application, rules FROM pelion_rules")
        self._rules: dict[str, list[Rule]] = {application: json.loads(rules) for application, rules in rows}

    def add(self, subscription: Subscription, *, by_rule: bool) -> bool:
        """True if it is new. A manual one stays manual when a rule asks for the same."""
        known = self._of_device.setdefault(subscription.ep, {})
        if subscription in known and (by_rule or not known[subscription]):
            return False
        fresh = subscription not in known
        self._journal.db.execute(
            "INSERT OR REPLACE INTO pelion_subscriptions VALUES (?, ?, ?, ?)",
            (subscription.application, subscription.ep, subscription.path, by_rule),
        )
        known[subscription] = by_rule
        return fresh

    def remove(self, subscription: Subscription) -> None:
        self._journal.db.execute(
            "DELETE FROM pelion_subscriptions WHERE application = ? AND ep = ? AND path = ?",
            (subscription.application, subscription.ep, subscription.path),
        )
        self._of_device.get(subscription.ep, {}).pop(subscription, None)

    def of(self, application: str, ep: str) -> list[Subscription]:
        """One application's subscriptions on one device, by path."""
        found = (entry for entry in self._of_device.get(ep, {}) if entry.application == application)
        return sorted(found, key=lambda entry: entry.path)

    def observing(self, ep: str, path: str) -> Iterator[Subscription]:
        """Every subscription that a value at ``path`` concerns: of the resource or of something above it."""
        for entry in self._of_device.get(ep, {}):
            if entry.path == path or path.startswith(entry.path + "/"):
                yield entry

    def end_manual(self, ep: str) -> None:
        """What a full registration does."""
        for entry, by_rule in list(self._of_device.get(ep, {}).items()):
            if not by_rule:
                self.remove(entry)

    # rules

    def rules(self, application: str) -> list[Rule]:
        return self._rules.get(application, [])

    def set_rules(self, application: str, rules: list[Rule]) -> None:
        """Replaces the whole list; what earlier rules made ends with the devices' next registration or update."""
        self._journal.db.execute(
            "INSERT OR REPLACE INTO pelion_rules VALUES (?, ?)", (application, json.dumps(rules))
        )
        self._rules[application] = rules

    def apply_rules(self, application: str, device: Device) -> list[Subscription]:
        """Make what the rules want of this device, end what they no longer want. The answer: the new ones."""
        wanted = {
            Subscription(application, device.ep, path)
            for rule in self.rules(application)
            for path in paths(rule, device)
        }
        for entry, by_rule in list(self._of_device.get(device.ep, {}).items()):
            if by_rule and entry.application == application and entry not in wanted:
                self.remove(entry)
        return [entry for entry in sorted(wanted, key=lambda entry: entry.path) if self.add(entry, by_rule=True)]

    def clear(self) -> None:
        with self._journal.transaction() as db:
            db.execute("DELETE FROM pelion_subscriptions")
            db.execute("DELETE FROM pelion_rules")
        self._of_device.clear()
        self._rules.clear()


def paths(rule: Rule, device: Device) -> list[str]:
    """The paths of ``device`` this rule subscribes to; empty if the rule does not mean this device."""
    name, type = rule.get("endpoint-name"), rule.get("endpoint-type")
    if name and not any(_matches(str(name), own) for own in (device.ep, device.name)):
        return []
    if type and not _matches(str(type), device.type):
        return []
    patterns = rule.get("resource-path")
    observable = [path for path, resource in device.resources.items() if resource.observable]
    if not isinstance(patterns, list):
        return observable
    found = [path for path in observable if any(_matches(pattern, path) for pattern in patterns)]
    above = [pattern for pattern in patterns if any(path.startswith(pattern + "/") for path in observable)]
    return found + above


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def parse_rules(found: object) -> list[Rule]:
    """The body of ``PUT /v2/subscriptions``; 400 for what exceeds the limits."""
    if not isinstance(found, list) or len(found) > MAX_RULES:
        raise Refusal(400, f"send a list of at most {MAX_RULES} rules")
    rules = [_parse_rule(rule) for rule in found]
    different = {path for rule in rules for path in _listed(rule)}
    if len(different) > MAX_PATHS:
        raise Refusal(400, f"the rules name more than {MAX_PATHS} paths")
    return rules


def _listed(rule: Rule) -> list[str]:
    patterns = rule.get("resource-path", [])
    assert isinstance(patterns, list)
    return patterns


def _parse_rule(rule: object) -> Rule:
    if not isinstance(rule, dict):
        raise Refusal(400, "a rule is an object")
    for name, limit in TEXT_LIMITS.items():
        if not isinstance(rule.get(name, ""), str) or len(rule.get(name, "")) > limit:
            raise Refusal(400, f"{name} must be text of at most {limit} characters")
    patterns = rule.get("resource-path", ["*"])
    if not isinstance(patterns, list) or not patterns or not all(_is_path(pattern) for pattern in patterns):
        raise Refusal(400, f"resource-path must be a list of paths of at most {PATH_LIMIT} characters")
    return {name: rule[name] for name in (*TEXT_LIMITS, "resource-path") if name in rule}


def _is_path(pattern: object) -> bool:
    return isinstance(pattern, str) and 0 < len(pattern) <= PATH_LIMIT
