"""What the Registry on SQLite adds to the contract."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from subscriber.model import DETAIL_CHARS, Tenant
from subscriber.store import Gap, Store, TenantState
from subscriber.store.sqlite.driver import open_reader
from tests.store.making import ACME, OTHER, START, Clock


def test_who_did_what_is_remembered_with_its_time(store: Store, path: Path, clock: Clock) -> None:
    store.registry.audit("ops@example.com", "erase", "x" * 2 * DETAIL_CHARS)
    with closing(open_reader(str(path))) as connection:
        rows = connection.execute("SELECT at, actor, action, detail FROM audit").fetchall()
    assert rows == [(int(START.timestamp() * 1000), "ops@example.com", "erase", "x" * DETAIL_CHARS)]


def test_a_fencing_number_outlives_the_release(store: Store, clock: Clock) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(store.registry.acquire("prune", "a", 10))
        store.registry.release("prune", "a")
    assert numbers == [1, 2, 3]


def test_a_holder_that_comes_back_too_late_gets_a_new_number(store: Store, clock: Clock) -> None:
    assert store.registry.acquire("prune", "a", 10) == 1
    clock.advance(seconds=10)
    assert store.registry.acquire("prune", "a", 10) == 2


def test_releasing_what_nobody_holds_is_fine(store: Store) -> None:
    store.registry.release("prune", "a")
    assert store.registry.acquire("prune", "b", 10) == 1


def test_a_tenant_that_only_has_a_state_is_listed(store: Store) -> None:
    store.registry.put_tenant(ACME, "leaving")
    assert [row.tenant for row in store.registry.tenants()] == [ACME]


def test_a_gap_of_an_erased_tenant_is_not_kept(store: Store) -> None:
    store.registry.put_tenant(ACME, TenantState.ACTIVE)
    store.inbox.erase(ACME)
    store.registry.add_gap(gap(ACME))
    store.registry.add_gap(gap(OTHER))
    assert store.registry.gaps() == [gap(OTHER)]


def gap(tenant: Tenant) -> Gap:
    return Gap(
        tenant=tenant,
        platform=tenant.platform,
        channel="",
        lost_from=START,
        lost_until=START,
        reason="buffer",
        noticed_at=START,
    )
