"""What every back end promises about who has the application, and what a lost lock must not write.

A back end's ``test_provisioned.py`` subclasses it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from subscriber.model import EPOCH, Tenant, to_millis
from subscriber.store import Fence, Passage, Retention, RosterRow, RosterUpdate, Store, SubscriptionRow
from tests.store.making import ACME, OTHER, START, Clock, notification

PLATFORM = "mindsphere"


def subscription(
    tenant: Tenant = ACME, *, topic: str = "t", version: str = "v1", state: str = "active"
) -> SubscriptionRow:
    return SubscriptionRow(
        tenant=tenant,
        topic=topic,
        subscriber="app",
        version=version,
        uri="https://g",
        state=state,
        detail="",
        updated_at=EPOCH,
    )


def taken(store: Store, holder: str) -> Fence:
    number = store.registry.acquire("registration", holder, 60)
    assert number is not None
    return Fence(name="registration", holder=holder, number=number)


def update(store: Store, fence: Fence, **changes: list[Tenant]) -> bool:
    return store.registry.update_roster(PLATFORM, RosterUpdate(**changes), fence)


def entry(store: Store, tenant: Tenant = ACME) -> RosterRow:
    (found,) = [row for row in store.registry.roster(PLATFORM) if row.tenant == tenant]
    return found


class ProvisionedContract:
    @pytest.fixture
    def fence(self, store: Store) -> Fence:
        return taken(store, "us")

    # subscriptions

    def test_a_subscription_is_kept_once_with_the_time_it_was_last_written(self, store: Store, clock: Clock) -> None:
        store.registry.put_subscription(subscription())
        clock.advance(seconds=5)
        store.registry.put_subscription(subscription(state="failed"))
        assert store.registry.subscriptions(PLATFORM) == [replace(subscription(state="failed"), updated_at=clock())]

    def test_subscriptions_of_some_tenants_are_read_alone(self, store: Store) -> None:
        for tenant in (ACME, OTHER, Tenant("pelion", "custaa")):
            store.registry.put_subscription(subscription(tenant))
        assert [row.tenant for row in store.registry.subscriptions_of([OTHER])] == [OTHER]
        assert store.registry.subscriptions_of([]) == []
        assert store.registry.subscribed(PLATFORM) == [ACME, OTHER]

    def test_a_removed_subscription_leaves_the_others(self, store: Store) -> None:
        for version in ("v1", "v2"):
            store.registry.put_subscription(subscription(version=version))
        assert store.registry.remove_subscription(subscription(version="v1"))
        assert [row.version for row in store.registry.subscriptions(PLATFORM)] == ["v2"]

    def test_nothing_is_written_behind_a_fence_whose_lock_has_passed_on(
        self, store: Store, clock: Clock, fence: Fence
    ) -> None:
        store.registry.put_subscription(subscription(), fence)
        clock.advance(seconds=61)
        taken(store, "another")
        assert not store.registry.put_subscription(subscription(topic="late"), fence)
        assert not store.registry.remove_subscription(subscription(), fence)
        assert not update(store, fence, present=[OTHER])
        assert not store.registry.close_census(PLATFORM, START, 0, fence)
        assert not store.registry.close_reconciliation(PLATFORM, fence)
        assert [row.topic for row in store.registry.subscriptions(PLATFORM)] == ["t"]
        assert [row.tenant for row in store.registry.tenants()] == [ACME]

    def test_a_lock_that_ran_out_and_was_taken_by_nobody_still_counts(
        self, store: Store, clock: Clock, fence: Fence
    ) -> None:
        clock.advance(seconds=61)
        assert store.registry.put_subscription(subscription(), fence)

    # lists

    def test_whoever_is_present_is_a_member_and_active(self, store: Store, fence: Fence) -> None:
        assert update(store, fence, present=[ACME])
        assert (entry(store).state, entry(store).member, entry(store).missed) == ("active", True, 0)

    def test_lists_without_a_tenant_are_counted_until_it_is_present_again(self, store: Store, fence: Fence) -> None:
        update(store, fence, present=[ACME])
        update(store, fence, missing=[ACME])
        update(store, fence, missing=[ACME])
        assert entry(store).missed == 2
        update(store, fence, present=[ACME])
        assert entry(store).missed == 0

    def test_a_leaving_tenant_keeps_its_data_and_its_subscriptions_become_stale(
        self, store: Store, fence: Fence
    ) -> None:
        update(store, fence, present=[ACME, OTHER])
        for tenant in (ACME, OTHER):
            store.registry.put_subscription(subscription(tenant))
        store.inbox.add([notification()])
        update(store, fence, leaving=[ACME])
        assert {row.tenant: row.state for row in store.registry.tenants()} == {ACME: "leaving", OTHER: "active"}
        assert {row.tenant: row.state for row in store.registry.subscriptions(PLATFORM)} == {
            ACME: "stale",
            OTHER: "active",
        }
        assert store.reports.counts(ACME).pending == 1

    def test_a_leaving_tenant_can_come_back_and_an_erased_one_cannot(self, store: Store, fence: Fence) -> None:
        update(store, fence, present=[ACME, OTHER])
        update(store, fence, leaving=[ACME])
        store.inbox.erase(OTHER)
        update(store, fence, present=[ACME, OTHER])
        assert {row.tenant: row.state for row in store.registry.tenants()} == {ACME: "active", OTHER: "gone"}

    def test_a_census_is_remembered(self, store: Store, clock: Clock, fence: Fence) -> None:
        assert store.registry.census(PLATFORM).read_at is None
        store.registry.close_census(PLATFORM, START, 7, fence)
        store.registry.close_reconciliation(PLATFORM, fence)
        census = store.registry.census(PLATFORM)
        assert (census.read_at, census.waiting, census.reconciled_at) == (START, 7, clock())

    # notices

    def test_a_notice_adds_its_tenant(self, store: Store) -> None:
        assert store.registry.hear(ACME, START, True)
        assert (entry(store).state, entry(store).heard_at) == ("active", START)

    def test_a_notice_never_retires_a_tenant(self, store: Store) -> None:
        store.registry.hear(ACME, START, True)
        assert not store.registry.hear(ACME, START + timedelta(seconds=1), False)
        assert entry(store).state == "active"

    def test_an_older_notice_never_undoes_a_newer_one(self, store: Store) -> None:
        store.registry.hear(ACME, START, False)
        assert not store.registry.hear(ACME, START - timedelta(seconds=1), True)
        assert (entry(store).member, entry(store).state) == (False, "")
        assert store.registry.hear(ACME, START + timedelta(seconds=1), True)

    def test_the_same_notice_may_be_handled_again(self, store: Store) -> None:
        assert store.registry.hear(ACME, START, True) and store.registry.hear(ACME, START, True)

    def test_a_later_list_without_the_tenant_knows_better_than_a_notice(self, store: Store, fence: Fence) -> None:
        store.registry.close_census(PLATFORM, START, 0, fence)
        assert not store.registry.hear(ACME, START - timedelta(seconds=1), True)
        assert store.registry.hear(OTHER, START, True)

    def test_a_notice_about_a_tenant_that_the_list_names_is_never_too_late(self, store: Store, fence: Fence) -> None:
        update(store, fence, present=[ACME])
        store.registry.close_census(PLATFORM, START, 0, fence)
        assert store.registry.hear(ACME, START - timedelta(hours=1), True)

    def test_a_notice_brings_a_leaving_tenant_back_and_an_erased_one_not(self, store: Store, fence: Fence) -> None:
        update(store, fence, present=[ACME, OTHER])
        update(store, fence, leaving=[ACME])
        store.inbox.erase(OTHER)
        assert store.registry.hear(ACME, START, True)
        assert not store.registry.hear(OTHER, START, True)
        assert {row.tenant: row.state for row in store.registry.tenants()} == {ACME: "active", OTHER: "gone"}

    # who is told, who is erased, what is counted

    def test_who_came_or_went_is_listed_until_the_team_was_told(self, store: Store, fence: Fence) -> None:
        update(store, fence, present=[ACME, OTHER])
        assert store.registry.passages(PLATFORM, 10) == [Passage(ACME, True), Passage(OTHER, True)]
        assert store.registry.passages(PLATFORM, 1) == [Passage(ACME, True)]
        for passage in store.registry.passages(PLATFORM, 10):
            store.registry.close_passage(passage)
        assert store.registry.passages(PLATFORM, 10) == []
        update(store, fence, leaving=[ACME])
        assert store.registry.passages(PLATFORM, 10) == [Passage(ACME, False)]

    def test_the_host_and_who_only_sent_something_is_nobody_s_customer(self, store: Store) -> None:
        store.inbox.add([notification()])
        assert store.registry.passages(PLATFORM, 10) == []
        assert not entry(store).member

    def test_departed_are_those_whose_time_is_over_and_whose_erasure_was_cut_off(
        self, store: Store, clock: Clock, fence: Fence
    ) -> None:
        update(store, fence, present=[ACME, OTHER])
        update(store, fence, leaving=[ACME])
        assert store.registry.departed(PLATFORM, timedelta(days=30)) == []
        clock.advance(days=30)
        assert store.registry.departed(PLATFORM, timedelta(days=30)) == [ACME]
        store.inbox.add([notification()])
        store.registry.put_tenant(ACME, "gone")
        assert store.registry.departed(PLATFORM, timedelta(days=30)) == [ACME]
        store.inbox.erase(ACME)
        assert store.registry.departed(PLATFORM, timedelta(days=30)) == []

    def test_states_are_counted(self, store: Store, fence: Fence) -> None:
        update(store, fence, present=[ACME, OTHER])
        store.registry.put_subscription(subscription())
        store.registry.put_subscription(subscription(topic="u", state="failed"))
        assert store.registry.tally(PLATFORM) == {
            "subscriptions_active": 1,
            "subscriptions_failed": 1,
            "tenants_active": 2,
        }

    def test_what_was_heard_of_a_tenant_goes_with_its_tombstone(
        self, store: Store, clock: Clock, fence: Fence
    ) -> None:
        update(store, fence, present=[ACME])
        store.registry.hear(OTHER, START, False)
        store.inbox.erase(ACME)
        clock.advance(days=8)
        week = timedelta(days=7)
        store.inbox.prune(Retention(horizon=week, payload=week, dead=week, tombstone=week))
        assert store.registry.roster(PLATFORM) == []

    def test_times_are_kept_to_the_millisecond(self, store: Store) -> None:
        moment = START + timedelta(milliseconds=7)
        store.registry.hear(ACME, moment, True)
        assert to_millis(entry(store).heard_at or START) == to_millis(moment)
