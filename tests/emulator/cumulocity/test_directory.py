"""Tenants and users: what survives, what a reset restores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.cumulocity.directory import ADMIN, OWNER, SERVICE, Directory, DirectoryError
from emulator.journal import Journal


def test_users_and_tenants_survive_a_restart(journal: Journal) -> None:
    first = Directory(journal)
    first.subscribe(["t125"])
    second = Directory(journal)
    assert second.subscribed() == ["t123", "t124", "t125"]
    assert second.user("t125", SERVICE) == first.user("t125", SERVICE)


def test_who_signs_in(journal: Journal) -> None:
    directory = Directory(journal)
    admin = directory.user(OWNER, ADMIN)
    assert directory.authenticate(f"{OWNER}/{ADMIN}", admin.password) == admin
    assert directory.authenticate(ADMIN, admin.password) == admin  # a bare name is the owner's
    assert directory.authenticate(f"t124/{ADMIN}", admin.password) is None
    assert directory.authenticate("nobody", "") is None
    assert admin.password not in repr(admin)


def test_a_tenant_that_ends_its_subscription_loses_the_service_user(journal: Journal) -> None:
    """N2-7"""
    directory = Directory(journal)
    assert directory.unsubscribe(["t124", "t999"]) == ["t124"]
    with pytest.raises(DirectoryError):
        directory.user("t124", SERVICE)
    with pytest.raises(DirectoryError):
        directory.rotate(["t124"])
    assert directory.exists("t124") and directory.subscribe(["t124"]) == ["t124"]


def test_a_reset_restores_tenants_and_roles_and_keeps_passwords(journal: Journal) -> None:
    directory = Directory(journal)
    before = directory.user(OWNER, SERVICE)
    directory.keep_user(replace(before, roles=frozenset()))
    directory.subscribe(["t125"])
    directory.reset()
    assert directory.user(OWNER, SERVICE) == before
    assert directory.tenants() == ["t123", "t124"]
    assert Directory(journal).user(OWNER, SERVICE) == before


@pytest.mark.parametrize("name", ["", "T1", "1t", "t/1", "t" * 40])
def test_what_is_no_tenant_id_is_refused_before_anything_happens(journal: Journal, name: str) -> None:
    directory = Directory(journal)
    with pytest.raises(DirectoryError):
        directory.subscribe(["t125", name])
    assert not directory.exists("t125")
