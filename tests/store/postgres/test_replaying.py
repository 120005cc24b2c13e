"""Replaying long lists on PostgreSQL."""

from __future__ import annotations

import pytest

from subscriber.model import Dead
from subscriber.store import Store
from subscriber.store.postgres import replaying, retention
from tests.store.making import ACME, lease_all, several


def test_replaying_a_long_list_takes_many_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS", 3)
    monkeypatch.setattr(replaying, "PAGE_ROWS", 4)
    given = several(10)
    store.inbox.add(given)
    for attempt in lease_all(store):
        store.inbox.settle(attempt, Dead("x"))
    assert store.inbox.replay(ACME, [item.key for item in given[:7]]) == 7
    assert store.inbox.replay_dead(ACME, "x") == 3


def test_a_key_given_twice_is_replayed_once(store: Store) -> None:
    (given,) = several(1)
    store.inbox.add([given])
    store.inbox.settle(lease_all(store)[0], Dead("x"))
    assert store.inbox.replay(ACME, [given.key, given.key]) == 1
