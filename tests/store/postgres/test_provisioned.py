"""Who has the application on PostgreSQL, where several processes hear and read lists at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from subscriber.model import Tenant
from subscriber.store import RosterUpdate, Store
from tests.store.making import ACME, START
from tests.store.provisioned import PLATFORM, ProvisionedContract, entry, subscription, taken


class TestProvisioned(ProvisionedContract):
    pass


def test_of_notices_heard_at_once_the_newest_is_remembered(store: Store) -> None:
    moments = [START + timedelta(seconds=number) for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda moment: store.registry.hear(ACME, moment, True), moments[::2] + moments[1::2]))
    assert entry(store).heard_at == moments[-1]
    assert entry(store).state == "active"


def test_lists_and_notices_about_the_same_tenants_never_block_one_another_for_good(store: Store) -> None:
    fence = taken(store, "us")
    tenants = [Tenant(PLATFORM, f"cust{number:02}") for number in range(30)]

    def read_list(turn: int) -> bool:
        present = tenants if turn % 2 else tenants[::-1]
        return store.registry.update_roster(PLATFORM, RosterUpdate(present=present, leaving=present[:5]), fence)

    def hear(turn: int) -> bool:
        return store.registry.hear(tenants[-turn % 30], START + timedelta(seconds=turn), True)

    with ThreadPoolExecutor(8) as threads:
        work = [threads.submit(read_list if turn % 3 else hear, turn) for turn in range(60)]
        assert [future.result() for future in work].count(True) >= 40


def test_subscriptions_put_at_once_are_all_kept(store: Store) -> None:
    fence = taken(store, "us")
    rows = [subscription(Tenant(PLATFORM, f"cust{number % 10}"), topic=f"t{number}") for number in range(100)]
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda row: store.registry.put_subscription(row, fence), rows))
    assert len(store.registry.subscriptions(PLATFORM)) == 100
