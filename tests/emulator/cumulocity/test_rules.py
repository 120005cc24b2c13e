"""Subscriptions kept: identity, places, restart."""

from __future__ import annotations

import pytest

from emulator.cumulocity.rules import MO, TENANT, Duplicate, Rule, Rules
from emulator.journal import Journal


def rule(name: str = "A", source: str = "", volatile: bool = False, tenant: str = "t1") -> Rule:
    return Rule(
        id="",
        tenant=tenant,
        context=MO if source else TENANT,
        name=name,
        source=source,
        volatile=volatile,
        apis=frozenset({"alarms"}),
        types=frozenset({"T"}),
        fragments=frozenset(),
        named_apis=("alarms",),
        type_filter="T",
        copied=None,
        made_at=1.5,
    )


def test_a_rule_survives_a_restart_as_it_was(journal: Journal) -> None:
    kept = Rules(journal).add(rule(source="7"))
    assert Rules(journal).get("t1", kept.id) == kept and Rules(journal).get("t2", kept.id) is None


def test_source_context_name_and_persistence_make_it_one(journal: Journal) -> None:
    """N2-3.8"""
    rules = Rules(journal)
    for different in (rule(), rule("B"), rule(source="7"), rule(volatile=True), rule(tenant="t2")):
        rules.add(different)
    with pytest.raises(Duplicate):
        rules.add(rule())


def test_rules_are_found_by_name_and_place_until_they_go(journal: Journal) -> None:
    rules = Rules(journal)
    tenant_wide, device = rules.add(rule()), rules.add(rule(source="7"))
    assert rules.at("t1", TENANT) == [tenant_wide] and rules.at("t1", MO, "7") == [device]
    assert rules.named("t1", "A") == [tenant_wide, device]
    rules.remove([device])
    assert rules.at("t1", MO, "7") == [] and Rules(journal).named("t1", "A") == [tenant_wide]
    rules.clear()
    assert list(rules.all("t1")) == []


def test_what_passes(journal: Journal) -> None:
    """N2-3.5: an object without a type never passes a filter."""
    kept = Rules(journal).add(rule())
    assert kept.lets_through("alarms", "T")
    assert not kept.lets_through("events", "T") and not kept.lets_through("alarms", None)
