"""Which instance runs exclusive channels."""

from __future__ import annotations

from subscriber.channels.ownership import LOCK_SECONDS, Ownership
from subscriber.store import Store


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_has_it_until_it_gives_it_back(store: Store) -> None:
    first, second = Ownership(store.registry, "cumulocity"), Ownership(store.registry, "cumulocity")
    assert first.look()
    assert not second.look()
    assert first.look()
    first.release()
    assert second.look()


def test_platforms_are_owned_apart(store: Store) -> None:
    assert Ownership(store.registry, "cumulocity").look()
    assert Ownership(store.registry, "pelion").look()


def test_after_a_crash_another_has_it_once_the_time_is_over(store: Store) -> None:
    assert Ownership(store.registry, "cumulocity", lock_seconds=0.0).look()
    assert Ownership(store.registry, "cumulocity").look()


def test_giving_back_what_another_has_changes_nothing(store: Store) -> None:
    first, second = Ownership(store.registry, "cumulocity"), Ownership(store.registry, "cumulocity")
    assert first.look()
    second.release()
    assert not second.look()


def test_while_the_store_is_away_it_is_ours_for_as_long_as_the_store_had_granted_it(store: Store) -> None:
    clock = Clock()
    ownership = Ownership(store.registry, "cumulocity", monotonic=clock)
    assert ownership.look()
    store.close()
    clock.now = LOCK_SECONDS - 1
    assert ownership.look()
    clock.now = LOCK_SECONDS + 1
    assert not ownership.look()


def test_a_store_that_is_away_keeps_nobody_from_stopping(store: Store) -> None:
    ownership = Ownership(store.registry, "cumulocity")
    assert ownership.look()
    store.close()
    ownership.release()
