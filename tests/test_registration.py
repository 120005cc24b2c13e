"""Registration put together, against the emulated platform; its parts are tested in ``registration/``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import migrations
from subscriber.errors import PlatformRefused, PlatformUnavailable, SettingsError
from subscriber.model import Tenant
from subscriber.registration import build
from subscriber.registration.reconciler import Reconciler
from subscriber.settings import Settings
from subscriber.store import Store, open_store
from tests.emulator.running import Client, Emulator, running_emulator

HOST = Tenant("mindsphere", "acmeop")
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
MakeReconciler = Callable[..., Reconciler]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/subscriber.db"
    migrations.apply(url)
    with closing(open_store(url)) as store:
        yield store


def test_without_credentials_there_is_nothing_to_register(store: Store) -> None:
    with pytest.raises(SettingsError, match="MDSP_KEY_STORE_CLIENT_ID"):
        build(Settings.from_environ({}), store)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def reconciler_at(emulator: Emulator, store: Store) -> Iterator[MakeReconciler]:
    """Builds reconcilers of an emulator turned by knobs; afterwards it is as before."""
    built = []

    def make(
        *, knobs: dict[str, object] | None = None, stop: threading.Event | None = None, **environ: str
    ) -> Reconciler:
        emulator.control("/knobs", {"EMU_MB_ACCEPT_PUT": "1", **(knobs or {})})
        settings = Settings.from_environ({**emulator.environment(), **environ})
        built.append(build(settings, store, stop=stop, jitter=lambda: 0.0))
        return built[-1]

    yield make
    for reconciler in built:
        reconciler.close()
    emulator.control("/reset", {})


def at_the_broker(emulator: Emulator) -> set[tuple[str, str]]:
    """(tenant, address) of every subscription of a topic every tenant has."""
    client = Client(emulator.credentials())
    try:
        answers = {name: client.subscription("GET", EVENTS, name) for name in ("acmeop", "custaa", "custbb")}
        return {(name, answer.json()["uri"]) for name, answer in answers.items() if answer.status_code == 200}
    finally:
        client.close()


@pytest.mark.parametrize(
    ("knobs", "environ"),
    [
        ({}, {}),
        ({"EMU_MB_ACCEPT_PUT": "0"}, {}),
        ({}, {"MDSP_BROKER_PATH": "/api/messagebroker/v5"}),
        ({}, {"MDSP_URI_TEMPLATE": "{gateway}/api/{app}-{host}/{version}/{endpoint}"}),
    ],
    ids=["as documented", "by POST only", "version 5", "full version in the address"],
)
def test_the_emulated_broker_has_what_was_registered(
    reconciler_at: MakeReconciler, emulator: Emulator, knobs: dict[str, object], environ: dict[str, str]
) -> None:
    reconciler = reconciler_at(knobs=knobs, **environ)
    uri = next(reconciler.changes(reconciler.survey())).subscription.uri
    report = reconciler.run().report
    assert report.outcomes == {"done": 16} and report.failures == []
    assert at_the_broker(emulator) == {(name, uri) for name in ("acmeop", "custaa", "custbb")}


def test_an_endpoint_that_is_not_registered_is_refused_by_name(reconciler_at: MakeReconciler) -> None:
    reconciler = reconciler_at(MDSP_URI_TEMPLATE="{gateway}/api/other-{host}/{major}/{endpoint}")
    failures = reconciler.register(HOST).failures
    assert {failure.reason for failure in failures} == {"subscription_invalid"}
    assert "registered" in failures[0].detail


def test_wrong_credentials_are_named_by_the_emulated_token_manager(reconciler_at: MakeReconciler) -> None:
    with pytest.raises(PlatformRefused, match="only Read and Write credentials work") as caught:
        reconciler_at(MDSP_KEY_STORE_CLIENT_SECRET="outdated").probe()
    assert caught.value.upstream_status == 401


def test_a_throttled_token_manager_is_away_for_those_who_hold_no_token(
    reconciler_at: MakeReconciler, emulator: Emulator
) -> None:
    impatient = threading.Event()
    impatient.set()
    holder, stranger = reconciler_at(), reconciler_at(stop=impatient)
    holder.probe()
    emulator.control("/fault", {"name": "token-throttle"})
    with pytest.raises(PlatformUnavailable) as caught:
        stranger.probe()
    assert caught.value.reason == "throttled" and caught.value.retry_after_seconds
    assert holder.register(HOST).ok
