"""Which conversations there shall be: those configured, with the password of the moment."""

from __future__ import annotations

import pytest

from subscriber.cumulocity.conversing import Conversing
from subscriber.cumulocity.directory import LIST_SECONDS, Directory
from subscriber.errors import PlatformUnavailable
from subscriber.model import Tenant
from subscriber.platforms.cumulocity_api import ServiceUser
from subscriber.platforms.smartrest.realtime import Channel, Realtime
from subscriber.store import Store, TenantState


def realtime(tenant: str, x_id: str = "com.acme.gw-v3") -> Realtime:
    return Realtime(
        tenant=tenant, path="/notification/operations", x_id=x_id, channels=(Channel(name="/5010"),), templates=()
    )


class Tenants:
    """A list in the test's hands, and its clock."""

    def __init__(self) -> None:
        self.passwords = {"t123": "one", "t124": "two"}
        self.now = 0.0

    def __call__(self) -> list[ServiceUser]:
        return [
            ServiceUser(tenant=tenant, name="service_hub", password=password)
            for tenant, password in self.passwords.items()
        ]


@pytest.fixture
def tenants() -> Tenants:
    return Tenants()


@pytest.fixture
def conversing(tenants: Tenants, store: Store) -> Conversing:
    directory = Directory(tenants, monotonic=lambda: tenants.now)
    configured = [realtime("t123"), realtime("t123", "other"), realtime("t125")]
    return Conversing("http://127.0.0.1:9", configured, directory, store.registry)


def test_each_configured_conversation_of_a_listed_tenant_is_held_as_its_service_user(conversing: Conversing) -> None:
    made = conversing()
    assert [(one.realtime.x_id, one.user.tenant, one.user.password) for one in made] == [
        ("com.acme.gw-v3", "t123", "one"),
        ("other", "t123", "one"),
    ]


def test_a_tenant_that_is_not_listed_is_told_once(
    conversing: Conversing, tenants: Tenants, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        conversing()
        tenants.now += LIST_SECONDS
    assert [record.getMessage().split()[2] for record in caplog.records] == ["t125,"]


def test_a_tenant_that_comes_later_and_a_new_password_are_taken_with_the_next_list(
    conversing: Conversing, tenants: Tenants
) -> None:
    before = conversing()
    tenants.passwords |= {"t123": "new", "t125": "three"}
    assert conversing() is before
    tenants.now += LIST_SECONDS
    assert [one.user.password for one in conversing()] == ["new", "new", "three"]


def test_a_refused_password_has_the_list_read_again(conversing: Conversing, tenants: Tenants) -> None:
    (first, *_) = conversing()
    tenants.passwords["t123"] = "new"
    conversing.refused(first)
    assert conversing()[0].user.password == "new"


def test_a_tenant_that_a_list_lacks_is_served_on(conversing: Conversing, tenants: Tenants) -> None:
    conversing()
    del tenants.passwords["t123"]
    tenants.now += LIST_SECONDS
    assert len(conversing()) == 2


def test_a_tenant_that_was_erased_is_not_served(conversing: Conversing, store: Store) -> None:
    store.registry.put_tenant(Tenant("smartrest", "t123"), TenantState.GONE)
    assert conversing() == ()


def test_a_list_that_cannot_be_read_is_told(store: Store) -> None:
    def away() -> list[ServiceUser]:
        raise PlatformUnavailable("away", reason="unreachable")

    with pytest.raises(PlatformUnavailable):
        Conversing("http://127.0.0.1:9", [realtime("t123")], Directory(away), store.registry)()
