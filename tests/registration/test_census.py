"""A list is written down as it was judged, under the lock of whoever reconciles, in small pieces."""

from __future__ import annotations

import pytest

from subscriber.errors import LockHeld
from subscriber.model import Tenant
from subscriber.registration.census import BATCH, Census, batches
from subscriber.store import Fence, Store
from tests.registration.conftest import states
from tests.store.making import START


def fence(store: Store, name: str = "registration") -> Fence:
    number = store.registry.acquire(name, "test", 60)
    assert number is not None
    return Fence(name=name, holder="test", number=number)


def tenants(*names: str) -> list[Tenant]:
    return [Tenant("cumulocity", name) for name in names]


def test_without_a_host_only_those_who_are_listed_are_served(store: Store) -> None:
    survey = Census(store.registry, "cumulocity").judge(tenants("t2", "t1"), True, START)
    assert list(survey.verdict.served) == tenants("t1", "t2")
    assert states(store) == {}


def test_what_a_list_says_is_written(store: Store) -> None:
    census, listed = Census(store.registry, "cumulocity"), tenants("t1", "t2")
    census.take(lambda: census.judge(listed, True, START), fence(store), False)
    assert states(store) == {"t1": "active", "t2": "active"}
    assert store.registry.census("cumulocity").read_at == START
    assert store.registry.roster("mindsphere") == []


def test_what_a_person_confirmed_needs_no_second_list(store: Store) -> None:
    census, holding = Census(store.registry, "cumulocity"), fence(store)
    census.take(lambda: census.judge(tenants("t1", "t2"), True, START), holding, False)
    census.take(lambda: census.judge(tenants("t1"), True, START, confirmed=True), holding, True)
    assert states(store) == {"t1": "active", "t2": "leaving"}


def test_whoever_lost_the_lock_writes_nothing(store: Store) -> None:
    census = Census(store.registry, "cumulocity")
    lost = Fence(name="registration", holder="another", number=7)
    with pytest.raises(LockHeld):
        census.take(lambda: census.judge(tenants("t1"), True, START), lost, False)
    assert states(store) == {}


def test_batches_come_as_they_are_asked_for() -> None:
    sizes = [len(some) for some in batches(range(2 * BATCH + 1))]
    assert sizes == [BATCH, BATCH, 1] and list(batches([])) == []
