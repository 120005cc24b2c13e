"""What a handler can read of its tenant's platform, against a small platform and inside a real dispatcher."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from subscriber.dispatcher import Dispatcher, RetryPolicy
from subscriber.errors import HandlerError, PlatformRefused, PlatformUnavailable
from subscriber.handlers import Route
from subscriber.model import MINDSPHERE, Notification, State, Tenant
from subscriber.platform_client import Clients
from subscriber.routes import PlatformClient, RunningAttempt
from subscriber.settings import Settings
from subscriber.store import Store, TenantState
from subscriber.token_manager import open_gateway
from tests.dispatcher.stories import notification, open_new_store, row_of
from tests.small_platform import TOKEN_PATH, SmallPlatform, refusal

ASSET = "/api/assetmanagement/v3/assets/pump"
PUMP = {"assetId": "pump", "name": "Pump 7"}


@pytest.fixture
def platform() -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa", "custbb") as platform:
        platform.replies["pump"] = (200, PUMP)
        yield platform


@pytest.fixture
def clients(platform: SmallPlatform, store: Store) -> Iterator[Clients]:
    settings = Settings.from_environ(platform.environ()).mindsphere
    assert settings is not None
    stop = threading.Event()
    stop.set()  # nothing is waited for here: a second attempt is not made
    clients = Clients({MINDSPHERE: open_gateway(settings, stop=stop)}, store.registry)
    yield clients
    clients.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def client(clients: Clients) -> PlatformClient:
    return clients(Tenant(MINDSPHERE, "custaa"))


def test_it_reads_in_the_name_of_its_own_tenant(platform: SmallPlatform, client: PlatformClient) -> None:
    assert client.get(ASSET, {"size": 2}) == PUMP
    call = platform.calls[-1]
    assert (call.method, call.path, call.tenant, call.body) == ("GET", f"{ASSET}?size=2", "custaa", None)


def test_tokens_are_shared_by_all_attempts_of_a_tenant(platform: SmallPlatform, clients: Clients) -> None:
    for name in ("custaa", "custbb", "custaa", "custbb"):
        assert clients(Tenant(MINDSPHERE, name)).get(ASSET) == PUMP
    assert platform.count(path=TOKEN_PATH) == 2


def test_making_a_client_asks_nobody(platform: SmallPlatform, clients: Clients) -> None:
    clients(Tenant(MINDSPHERE, "custaa"))
    assert platform.calls == []


def test_what_is_gone_is_refused_with_its_status(platform: SmallPlatform, client: PlatformClient) -> None:
    platform.replies["pump"] = (404, refusal("noMatch"))
    with pytest.raises(PlatformRefused) as caught:
        client.get(ASSET)
    assert (caught.value.upstream_status, caught.value.reason) == (404, "state_missing")


def test_a_platform_that_fails_is_unavailable(platform: SmallPlatform, client: PlatformClient) -> None:
    platform.replies["pump"] = (503, None)
    with pytest.raises(PlatformUnavailable):
        client.get(ASSET)


def test_an_answer_without_bound_is_refused(platform: SmallPlatform, client: PlatformClient) -> None:
    platform.replies["pump"] = (200, "x" * 2**20)
    with pytest.raises(PlatformUnavailable) as caught:
        client.get(ASSET)
    assert caught.value.reason == "answer_too_large"


def test_a_tenant_that_lost_the_application_is_refused(platform: SmallPlatform, client: PlatformClient) -> None:
    platform.replies["custaa"] = (403, refusal("forbidden"))
    with pytest.raises(PlatformRefused, match="not provisioned to custaa"):
        client.get(ASSET)


@pytest.mark.parametrize("state", [TenantState.LEAVING, TenantState.GONE])
def test_nothing_is_read_of_a_tenant_that_left_though_its_token_is_still_good(
    platform: SmallPlatform, client: PlatformClient, store: Store, state: str
) -> None:
    client.get(ASSET)
    calls = len(platform.calls)
    store.registry.put_tenant(Tenant(MINDSPHERE, "custaa"), state)
    with pytest.raises(HandlerError, match="no longer has the application") as caught:
        client.get(ASSET)
    assert (caught.value.reason, len(platform.calls)) == ("tenant_left", calls)
    store.registry.put_tenant(Tenant(MINDSPHERE, "custaa"), TenantState.ACTIVE)
    assert client.get(ASSET) == PUMP


def test_a_path_that_leads_elsewhere_reaches_nobody(platform: SmallPlatform, client: PlatformClient) -> None:
    with pytest.raises(ValueError, match="/api/"):
        client.get("@evil.example/api/x")
    assert platform.calls == []


def test_a_platform_without_a_client_says_so(clients: Clients) -> None:
    with pytest.raises(HandlerError, match="off here") as caught:
        clients(Tenant("pelion", "east")).get(ASSET)
    assert caught.value.reason == "no_platform_client"


class Reader:
    """A handler that fetches the state its hint points to."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def __call__(self, notification: Notification, attempt: RunningAttempt) -> None:
        self.got.append((notification.tenant.name, attempt.platform.get(f"/api/assets/{notification.source}")))


def handle(store: Store, reader: Reader, clients: Clients, *notifications: Notification) -> None:
    store.inbox.add(notifications)
    policy = RetryPolicy(max_attempts=3, base_seconds=10, max_seconds=60)
    routes = [Route(handler=reader)]
    Dispatcher(store.inbox, store.registry, routes, policy=policy, threads=2, platform_client=clients).run_once()


def test_a_hint_s_handler_fetches_the_state_it_points_to(store: Store, clients: Clients) -> None:
    reader = Reader()
    hints = [notification(tenant, source="pump") for tenant in ("custaa", "custbb")]
    handle(store, reader, clients, *hints)
    assert sorted(reader.got, key=str) == [("custaa", PUMP), ("custbb", PUMP)]


def test_a_read_that_fails_is_an_attempt_to_be_made_again(
    store: Store, clients: Clients, platform: SmallPlatform
) -> None:
    platform.replies["pump"] = (503, None)
    hint = notification("custaa", source="pump")
    handle(store, Reader(), clients, hint)
    row = row_of(store, hint)
    assert (row.state, row.attempts, row.reason) == (State.PENDING, 1, "platform_failed")


def test_without_a_platform_the_handler_s_read_fails_in_plain_words(store: Store) -> None:
    hint = notification("custaa", source="pump")
    handle(store, Reader(), Clients({}, store.registry), hint)
    assert (row_of(store, hint).state, row_of(store, hint).reason) == (State.PENDING, "no_platform_client")
