"""Which consumers there shall be: every name in every tenant that is served, with the password of the moment."""

from __future__ import annotations

import json

import pytest

from subscriber.cumulocity.directory import LIST_SECONDS, Directory
from subscriber.cumulocity.wanted import Wanted, client_name
from subscriber.errors import PlatformUnavailable
from subscriber.platforms.cumulocity_api import Grant, ServiceUser
from subscriber.store import Fence, RosterUpdate, Store, TenantState
from tests.cumulocity.conftest import COLD, T124, settings_of

ENVIRON = {
    "C8Y_BASEURL": "http://127.0.0.1:9",
    "C8Y_BOOTSTRAP_TENANT": "t1",
    "C8Y_BOOTSTRAP_USER": "boot",
    "C8Y_BOOTSTRAP_PASSWORD": "b",
    "APPLICATION_NAME": "cold-hub",
    "C8Y_SUBSCRIPTIONS": json.dumps([COLD, {"name": "devices", "context": "mo", "sources": ["7"], "shared": True}]),
}


class Tenants:
    """A list in the test's hands, and its clock."""

    def __init__(self) -> None:
        self.passwords = {"t123": "one", "t124": "two"}
        self.away = False
        self.now = 0.0

    def __call__(self) -> list[ServiceUser]:
        if self.away:
            raise PlatformUnavailable("away", reason="unreachable")
        return [
            ServiceUser(tenant=tenant, name="service_hub", password=password)
            for tenant, password in self.passwords.items()
        ]


@pytest.fixture
def tenants() -> Tenants:
    return Tenants()


@pytest.fixture
def wanted(tenants: Tenants, store: Store) -> Wanted:
    directory = Directory(tenants, monotonic=lambda: tenants.now)
    return Wanted(settings_of(ENVIRON), directory, store.registry, "host-1.example")


def served(wanted: Wanted) -> set[tuple[str, str]]:
    return {(one.user.tenant, one.grant.subscription) for one in wanted()}


def test_each_name_is_read_in_each_tenant(wanted: Wanted) -> None:
    assert served(wanted) == {(tenant, name) for tenant in ("t123", "t124") for name in ("coldChain", "devices")}
    first = wanted()[0]
    assert (first.base_url, first.user.password) == ("http://127.0.0.1:9", "one")
    assert first.grant == Grant(subscription="coldChain", subscriber="ingest")


def test_only_clients_of_a_shared_consumer_have_a_name(wanted: Wanted) -> None:
    assert {(one.grant.subscription, one.client) for one in wanted()} == {
        ("coldChain", ""),
        ("devices", "coldhubhost1example"),
    }


def test_the_platform_s_number_of_an_instance_names_its_client() -> None:
    assert client_name(settings_of(ENVIRON | {"CF_INSTANCE_INDEX": "2"}), "host") == "coldhub2"


def test_tenants_come_without_a_restart_and_nothing_is_made_anew_before(wanted: Wanted, tenants: Tenants) -> None:
    assert wanted() is wanted()
    tenants.passwords["t125"] = "three"
    tenants.now += LIST_SECONDS
    assert ("t125", "coldChain") in served(wanted)


def test_a_tenant_that_was_served_is_read_on_until_it_has_left(
    wanted: Wanted, tenants: Tenants, store: Store
) -> None:
    wanted()
    number = store.registry.acquire("x", "test", 60)
    assert number is not None
    fence = Fence(name="x", holder="test", number=number)
    store.registry.update_roster("cumulocity", RosterUpdate(present=[T124]), fence)
    del tenants.passwords["t124"]
    tenants.now += LIST_SECONDS
    assert ("t124", "coldChain") in served(wanted), "one list may be wrong"
    store.registry.update_roster("cumulocity", RosterUpdate(leaving=[T124]), fence)
    tenants.now += LIST_SECONDS
    assert {tenant for tenant, _ in served(wanted)} == {"t123"}


def test_an_erased_tenant_is_not_read(wanted: Wanted, store: Store) -> None:
    store.registry.put_tenant(T124, TenantState.GONE)
    assert {tenant for tenant, _ in served(wanted)} == {"t123"}


def test_a_refused_password_is_looked_up_at_once(wanted: Wanted, tenants: Tenants) -> None:
    old = wanted()[0]
    tenants.passwords["t123"] = "new"
    wanted.refused(old)
    assert wanted()[0].user.password == "new"
    assert wanted()[0].wiring == old.wiring, "an open connection does without the password"


def test_while_the_list_cannot_be_read_that_is_said_and_a_refusal_is_survived(
    wanted: Wanted, tenants: Tenants
) -> None:
    old = wanted()[0]
    tenants.away = True
    wanted.refused(old)
    tenants.now += LIST_SECONDS
    with pytest.raises(PlatformUnavailable):
        wanted()
