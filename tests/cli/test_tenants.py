"""`tenants`: lists them, and erases one only when its name was typed."""

from __future__ import annotations

import io

import pytest

from subscriber.model import Tenant
from subscriber.store import Store, TenantState
from tests.cli.conftest import CUSTAA, Run, notification


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What stands on standard input."""
    stdin = io.StringIO()
    monkeypatch.setattr("sys.stdin", stdin)
    return stdin


def type_in(stdin: io.StringIO, text: str) -> None:
    stdin.write(text)
    stdin.seek(0)


def state(store: Store, tenant: Tenant = CUSTAA) -> str:
    return {row.tenant: row.state for row in store.registry.tenants()}[tenant]


def test_tenants_are_listed_with_their_state(run: Run, store: Store) -> None:
    store.registry.put_tenant(CUSTAA, TenantState.ACTIVE)
    store.registry.put_tenant(Tenant("cumulocity", "t1"), TenantState.LEAVING)
    listed = {row["tenant"]: row["state"] for row in run("tenants", "list", "--json").objects}
    assert listed == {"mindsphere/custaa": "active", "cumulocity/t1": "leaving"}
    assert {"custaa", "cumulocity/t1"} <= set(run("tenants", "list").out.split())


def test_no_tenants_yet_says_where_they_come_from(run: Run, store: Store) -> None:
    assert "register --apply" in run("tenants", "list").out


def test_a_tenant_is_erased_when_its_name_is_typed(run: Run, store: Store, typed: io.StringIO) -> None:
    store.inbox.add([notification(1)])
    type_in(typed, "custaa\n")
    result = run("tenants", "erase", "custaa")
    assert (result.code, state(store)) == (0, TenantState.GONE)
    assert "is erased" in result.out and "Type custaa" in result.err


@pytest.mark.parametrize("answer", ["custbb\n", "\n", "yes\n"])
def test_anything_else_erases_nothing(run: Run, store: Store, typed: io.StringIO, answer: str) -> None:
    store.inbox.add([notification(1)])
    type_in(typed, answer)
    result = run("tenants", "erase", "custaa")
    assert (result.code, state(store)) == (2, TenantState.ACTIVE)
    assert "nothing was erased" in result.err


def test_nobody_to_ask_erases_nothing(run: Run, store: Store, typed: io.StringIO) -> None:
    store.inbox.add([notification(1)])
    assert (run("tenants", "erase", "custaa").code, state(store)) == (130, TenantState.ACTIVE)


def test_with_yes_nobody_is_asked(run: Run, store: Store) -> None:
    store.inbox.add([notification(1)])
    result = run("tenants", "erase", "mindsphere/custaa", "--yes", "--json")
    assert result.objects[0]["tenant"] == "mindsphere/custaa"
    assert (result.err, state(store)) == ("", TenantState.GONE)


def test_an_unknown_tenant_cannot_be_erased(run: Run, store: Store) -> None:
    result = run("tenants", "erase", "custzz", "--yes")
    assert (result.code, "`tenants list`" in result.err) == (1, True)
    assert store.registry.tenants() == []


@pytest.mark.parametrize("name", ["", "mindsphere/", "/custaa"])
def test_half_a_name_is_misuse(run: Run, store: Store, name: str) -> None:
    assert run("tenants", "erase", name, "--yes").code == 2
