"""Keys: their form, whom they stand for, and what survives."""

from __future__ import annotations

import re

import pytest

from emulator.journal import Journal
from emulator.pelion.registry import Registry, RegistryError


@pytest.fixture
def registry(journal: Journal) -> Registry:
    return Registry(journal)


def test_a_key_looks_like_the_published_ones(registry: Registry) -> None:
    [key] = registry.keys(registry.applications()[0])
    assert len(key) == 111 and re.fullmatch(r"ak_1[A-Za-z0-9]{43}[0-9a-f]{32}[A-Za-z0-9]{32}", key)
    assert registry.key(key).id == key[47:79] and key not in repr(registry.key(key))


def test_the_seed_world_has_three_applications_in_two_accounts(registry: Registry) -> None:
    found = [(entry.name, entry.account) for entry in registry.applications()]
    assert found == [("cellar", "acme"), ("gates", "acme"), ("mill", "borealis")]


def test_an_application_is_found_by_name_and_by_key(registry: Registry) -> None:
    cellar = registry.applications()[0]
    assert registry.application("cellar") == registry.application(registry.keys(cellar)[0]) == cellar
    assert registry.application("nobody") is None


def test_an_application_holds_two_keys_at_most(registry: Registry) -> None:
    registry.add_key("cellar", "acme")
    for application, account in (("cellar", "acme"), ("gates", "borealis"), ("new", "nobody")):
        with pytest.raises(RegistryError):
            registry.add_key(application, account)
    assert registry.add_key("new", "acme").application.account == "acme"


def test_keys_survive_and_a_reset_keeps_the_first_ones(journal: Journal, registry: Registry) -> None:
    cellar = registry.applications()[0]
    first = registry.keys(cellar)
    registry.revoke(first[0])
    registry.add_key("cellar", "acme")
    again = Registry(journal)
    assert again.keys(cellar) == registry.keys(cellar) != first
    again.reset()
    assert again.keys(cellar) == first
