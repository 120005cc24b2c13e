"""Tenants whose time is over are erased, a few at a time, and nobody of another platform."""

from __future__ import annotations

import threading
from datetime import timedelta

from subscriber.model import Tenant
from subscriber.registration.erasure import ERASED_A_ROUND, erase_departed
from subscriber.store import Store, TenantState
from tests.registration.conftest import states
from tests.store.making import Clock


def leave(store: Store, platform: str, *names: str) -> None:
    for name in names:
        store.registry.put_tenant(Tenant(platform, name), TenantState.ACTIVE)
        store.registry.put_tenant(Tenant(platform, name), TenantState.LEAVING)


def test_only_those_whose_time_is_over_are_erased(store: Store, clock: Clock) -> None:
    leave(store, "cumulocity", "t1")
    clock.advance(days=2)
    leave(store, "cumulocity", "t2")
    leave(store, "mindsphere", "custaa")
    erase_departed(store, "cumulocity", timedelta(days=1), threading.Event())
    assert states(store) == {"t1": "gone", "t2": "leaving", "custaa": "leaving"}


def test_a_few_at_a_time(store: Store, clock: Clock) -> None:
    leave(store, "cumulocity", *(f"t{number}" for number in range(ERASED_A_ROUND + 2)))
    clock.advance(days=2)
    erase_departed(store, "cumulocity", timedelta(days=1), threading.Event())
    assert list(states(store).values()).count("gone") == ERASED_A_ROUND
