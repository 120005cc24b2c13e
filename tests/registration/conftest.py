"""A small platform, a store whose clock the test moves, and reconcilers between them that wait for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import migrations
from subscriber.model import Tenant
from subscriber.registration import build
from subscriber.registration.plan import Subscription, as_row
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import Settings
from subscriber.store import Store, SubscriptionRow, open_store
from tests.small_platform import SmallPlatform
from tests.store.making import Clock

HOST, CUSTAA, CUSTBB = (Tenant("mindsphere", name) for name in ("acmeop", "custaa", "custbb"))
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
ASSETS = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
PROVISIONING = "mdsp.core.provisioning.v1.pubsub.application.ext.notification"
MakeReconciler = Callable[..., Reconciler]


@pytest.fixture
def platform() -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa", "custbb") as platform:
        yield platform


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/subscriber.db"
    migrations.apply(url)
    with closing(open_store(url, clock=clock)) as store:
        yield store


@pytest.fixture
def reconciler_with(platform: SmallPlatform, store: Store, clock: Clock) -> Iterator[MakeReconciler]:
    """Builds reconcilers; keyword arguments are settings."""
    built = []

    def make(*, stop: threading.Event | None = None, **environ: str) -> Reconciler:
        settings = Settings.from_environ({**platform.environ(), "MDSP_TOPICS": f"{EVENTS},{ASSETS}", **environ})
        built.append(build(settings, store, stop=stop, jitter=lambda: 0.0, clock=clock))
        return built[-1]

    yield make
    for reconciler in built:
        reconciler.close()


@pytest.fixture
def reconciler(reconciler_with: MakeReconciler) -> Reconciler:
    return reconciler_with()


def subscription(
    tenant: Tenant = CUSTAA, topic: str = EVENTS, uri: str = "https://g/one", version: str = "v1.4.2"
) -> Subscription:
    return Subscription(tenant=tenant, topic=topic, subscriber="alarmapi", version=version, uri=uri)


def row(wanted: Subscription, state: str = "active", detail: str = "") -> SubscriptionRow:
    return as_row(wanted, state, detail)


def remembered(store: Store) -> dict[tuple[str, str], str]:
    """State by tenant and topic."""
    rows = store.registry.subscriptions("mindsphere")
    return {(row.tenant.name, row.topic): row.state for row in rows}


def states(store: Store) -> dict[str, str]:
    """State by tenant."""
    return {row.tenant.name: row.state for row in store.registry.tenants()}
