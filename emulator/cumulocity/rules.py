"""Subscriptions of Notification 2.0: rules that copy what happens into topics.

Core OpenAPI specification, Subscriptions. The platform calls a rule a subscription; it says nothing about who reads.
One source, context, name and persistence make it one; filters are no part of that, so they cannot be changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emulator.journal import Journal

MO, TENANT = "mo", "tenant"

SCHEMA = """
CREATE TABLE IF NOT EXISTS n2_rules (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, document TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One subscription. ``apis`` and ``types`` are what the filters mean; the texts are as they were given."""

    id: str
    tenant: str
    context: str
    name: str
    source: str  # empty in the context tenant
    volatile: bool
    apis: frozenset[str]
    types: frozenset[str] | None  # None = all
    fragments: frozenset[str]
    named_apis: tuple[str, ...] | None
    type_filter: str | None
    copied: tuple[str, ...] | None
    made_at: float  # emulator seconds

    @property
    def identity(self) -> tuple[str, str, str, str, bool]:
        return (self.tenant, self.context, self.source, self.name, self.volatile)

    def lets_through(self, api: str, type: object) -> bool:
        return api in self.apis and (self.types is None or type in self.types)

    def as_json(self, base: str, source_name: str) -> dict[str, object]:
        """As the API shows it; members that were not given are left out."""
        document: dict[str, object] = {"id": self.id, "self": f"{base}/notification2/subscriptions/{self.id}"}
        document |= {"context": self.context, "subscription": self.name}
        if self.source:
            link = f"{base}/inventory/managedObjects/{self.source}"
            document["source"] = {"id": self.source, "name": source_name, "self": link}
        chosen = {"apis": self.named_apis and list(self.named_apis), "typeFilter": self.type_filter}
        if any(value is not None for value in chosen.values()):
            document["subscriptionFilter"] = {name: value for name, value in chosen.items() if value is not None}
        if self.copied is not None:
            document["fragmentsToCopy"] = list(self.copied)
        return {**document, "nonPersistent": self.volatile}


class Duplicate(Exception):
    """There is a rule of this identity."""


class Rules:
    """In memory for matching, in the state file for keeping."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        self._load()

    def _load(self) -> None:
        self._by_id: dict[str, Rule] = {}
        self._by_identity: dict[tuple[str, str, str, str, bool], Rule] = {}
        self._by_place: dict[tuple[str, str, str], dict[str, Rule]] = {}
        for id, document in self._journal.db.execute("SELECT id, document FROM n2_rules ORDER BY id"):
            self._keep(_from_document(str(id), document))

    def _keep(self, rule: Rule) -> None:
        self._by_id[rule.id] = self._by_identity[rule.identity] = rule
        self._by_place.setdefault((rule.tenant, rule.context, rule.source), {})[rule.id] = rule

    def add(self, rule: Rule) -> Rule:
        """The rule with its id; ``Duplicate`` if its identity is taken."""
        if rule.identity in self._by_identity:
            raise Duplicate
        id = self._journal.db.execute(
            "INSERT INTO n2_rules (tenant, document) VALUES (?, ?)", (rule.tenant, _document(rule))
        ).lastrowid
        kept = _from_document(str(id), _document(rule))
        self._keep(kept)
        return kept

    def get(self, tenant: str, id: str) -> Rule | None:
        rule = self._by_id.get(id)
        return rule if rule is not None and rule.tenant == tenant else None

    def all(self, tenant: str) -> Iterator[Rule]:
        return (rule for rule in list(self._by_id.values()) if rule.tenant == tenant)

    def named(self, tenant: str, name: str) -> list[Rule]:
        """The rules that feed a name's topics."""
        return [rule for rule in self.all(tenant) if rule.name == name]

    def at(self, tenant: str, context: str, source: str = "") -> list[Rule]:
        """The rules of a tenant, or of one source, oldest first."""
        return list(self._by_place.get((tenant, context, source), {}).values())

    def remove(self, rules: Iterable[Rule]) -> None:
        with self._journal.transaction() as db:
            for rule in list(rules):
                db.execute("DELETE FROM n2_rules WHERE id = ?", (int(rule.id),))
                del self._by_id[rule.id], self._by_identity[rule.identity]
                del self._by_place[rule.tenant, rule.context, rule.source][rule.id]

    def clear(self) -> None:
        self._journal.db.execute("DELETE FROM n2_rules")
        self._load()


def _document(rule: Rule) -> str:
    return json.dumps(
        {
            **{name: getattr(rule, name) for name in ("tenant", "context", "name", "source", "volatile", "made_at")},
            **{name: getattr(rule, name) for name in ("named_apis", "type_filter", "copied")},
            "apis": sorted(rule.apis),
            "types": None if rule.types is None else sorted(rule.types),
            "fragments": sorted(rule.fragments),
        }
    )


def _from_document(id: str, document: str) -> Rule:
    members = json.loads(document)
    for name in ("apis", "fragments", "types"):
        members[name] = None if members[name] is None else frozenset(members[name])
    for name in ("named_apis", "copied"):
        members[name] = None if members[name] is None else tuple(members[name])
    return Rule(id=id, **members)
