"""What the Registry on PostgreSQL adds to the contract."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from subscriber.model import DETAIL_CHARS
from subscriber.store import Store, TenantState
from tests.store.making import ACME, OTHER, START, Clock
from tests.store.postgres.asking import ask
from tests.store.sqlite.test_registry import gap


def test_who_did_what_is_remembered_with_its_time(store: Store, url: str) -> None:
    store.registry.audit("ops@example.com", "erase", "x\0" * DETAIL_CHARS)
    ((at, actor, action, detail),) = ask(url, "SELECT at, actor, action, detail FROM audit")
    assert (at, actor, action) == (int(START.timestamp() * 1000), "ops@example.com", "erase")
    assert detail == "x?" * (DETAIL_CHARS // 2)


def test_a_tenant_that_only_has_a_state_is_listed(store: Store) -> None:
    store.registry.put_tenant(ACME, TenantState.LEAVING)
    assert [row.tenant for row in store.registry.tenants()] == [ACME]


def test_a_gap_of_an_erased_tenant_is_not_kept(store: Store) -> None:
    store.registry.put_tenant(ACME, TenantState.ACTIVE)
    store.inbox.erase(ACME)
    store.registry.add_gap(gap(ACME))
    store.registry.add_gap(gap(OTHER))
    assert store.registry.gaps() == [gap(OTHER)]


def test_heartbeats_of_many_instances_notice_one_gap(store: Store, clock: Clock) -> None:
    horizon = timedelta(days=4)
    store.registry.heartbeat("mindsphere", horizon)
    clock.advance(days=10)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: store.registry.heartbeat("mindsphere", horizon), range(8)))
    assert [gap for gap in found if gap is not None] == store.registry.gaps()
    assert len(store.registry.gaps()) == 1


def test_a_state_that_many_set_at_once_has_changed_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        changed = list(threads.map(lambda _: store.registry.put_tenant(ACME, TenantState.LEAVING), range(8)))
    assert changed.count(True) == 1
