"""Notices of the provisioning topic, the team's hook, and what happens to those who left."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

from emulator.processes import wait_until
from subscriber.errors import SettingsError
from subscriber.model import Dead, Delivery, Done, Notification, Tenant
from subscriber.platforms.mindsphere import decode
from subscriber.provisioning import CONFIRM_SECONDS, RELIST_SECONDS, Notices, Provisioning, load_hook
from subscriber.registration.reconciler import Reconciler
from subscriber.routes import RunningAttempt
from subscriber.settings import Settings
from subscriber.store import Store
from tests.registration import conftest as shared
from tests.registration.conftest import CUSTAA, EVENTS, HOST, PROVISIONING, MakeReconciler, states
from tests.small_platform import SmallPlatform, refusal
from tests.store.making import START, Clock

platform, clock, store = shared.platform, shared.clock, shared.store
reconciler_with, reconciler = shared.reconciler_with, shared.reconciler
SAMPLE = Path(__file__).parent / "samples" / "mindsphere" / "provisioned.json"
ATTEMPT = RunningAttempt(number=1, lease_until=START)
CUSTCC = Tenant("mindsphere", "custcc")


class World:
    """Notices, and what they asked for."""

    def __init__(self, settings: Settings, store: Store, reconciler: Reconciler) -> None:
        assert settings.mindsphere is not None
        self.relists: list[float] = []
        self.greetings = 0
        self.notices = Notices(
            settings.mindsphere, store.registry, reconciler, self.relists.append, lambda: self._greet()
        )

    def _greet(self) -> None:
        self.greetings += 1

    def handle(self, one: Notification) -> Done | Dead:
        return self.notices.handle(one, ATTEMPT)


@pytest.fixture
def world(platform: SmallPlatform, store: Store, reconciler: Reconciler) -> World:
    return World(Settings.from_environ(platform.environ()), store, reconciler)


def notice(
    action: Any = "PROVISIONED", tenant: Any = "custcc", *, at: datetime = START, context: str = "acmeop"
) -> Notification:
    stamp = at.isoformat(timespec="milliseconds")
    body = {
        "header": {"topic": PROVISIONING, "tenantContext": [context]},
        "provisioning": {"action": action, "userTenant": tenant, "timestamp": stamp},
    }
    return decoded(orjson.dumps(body))


def decoded(body: bytes) -> Notification:
    (one,) = decode(Delivery(platform="mindsphere", headers={}, body=body, received_at=START))
    return one


def test_a_new_tenant_is_subscribed_at_once_and_the_team_is_to_be_told(
    world: World, platform: SmallPlatform, store: Store
) -> None:
    assert world.handle(notice()) == Done()
    assert {tenant for tenant, _ in platform.subscriptions} == {"custcc"}
    assert (states(store)["custcc"], world.greetings) == ("active", 1)
    assert world.relists == [CONFIRM_SECONDS], "the list confirms it"


def test_the_published_sample_s_shape_is_understood(world: World, store: Store) -> None:
    sample = decoded(SAMPLE.read_bytes())
    assert sample.tenant == HOST and world.handle(sample) == Done()
    assert orjson.loads(SAMPLE.read_bytes())["provisioning"]["userTenant"] in states(store)


def test_a_tenant_that_left_is_not_retired_by_the_notice_but_the_list_is_read(world: World, store: Store) -> None:
    world.handle(notice())
    world.handle(notice("DEPROVISIONED", at=START + timedelta(minutes=1)))
    assert (states(store)["custcc"], world.relists) == ("active", [CONFIRM_SECONDS, RELIST_SECONDS])


def test_an_older_notice_that_comes_late_does_not_bring_a_tenant_back(
    world: World, platform: SmallPlatform, store: Store
) -> None:
    world.handle(notice("DEPROVISIONED", at=START))
    world.handle(notice("PROVISIONED", at=START - timedelta(minutes=1)))
    assert (states(store), platform.subscriptions) == ({}, {})
    assert world.relists == [RELIST_SECONDS] * 2


def test_a_notice_in_another_context_than_the_host_s_moves_nobody(world: World, store: Store) -> None:
    assert world.handle(notice(context="custaa")) == Done("foreign_context")
    assert (states(store), world.relists) == ({}, [])


@pytest.mark.parametrize("action", ["SUSPENDED", "provision", ""])
def test_a_word_we_do_not_know_has_the_list_read(world: World, store: Store, action: str) -> None:
    assert world.handle(notice(action)) == Done()
    assert (states(store), world.relists) == ({}, [RELIST_SECONDS])


def test_the_case_of_the_word_does_not_matter(world: World, store: Store) -> None:
    world.handle(notice("Provisioned"))
    assert states(store)["custcc"] == "active"


@pytest.mark.parametrize(("action", "tenant"), [(None, "custcc"), ("PROVISIONED", None), ("PROVISIONED", "../x")])
def test_a_notice_that_cannot_be_read_is_dead_and_has_the_list_read(world: World, action: Any, tenant: Any) -> None:
    decision = world.handle(notice(action, tenant))
    assert isinstance(decision, Dead) and decision.reason == "provisioning_unreadable"
    assert world.relists == [RELIST_SECONDS]


def test_where_tenant_and_action_stand_is_a_setting(
    platform: SmallPlatform, store: Store, reconciler: Reconciler
) -> None:
    pointers = {"MDSP_PROVISIONING_TENANT": "/a~1b/0/who", "MDSP_PROVISIONING_ACTION": "/what"}
    world = World(Settings.from_environ({**platform.environ(), **pointers}), store, reconciler)
    body = {"header": {"topic": PROVISIONING, "tenantContext": ["acmeop"]}, "a/b": [{"who": "custcc"}]}
    world.handle(decoded(orjson.dumps({**body, "what": "PROVISIONED"})))
    assert states(store)["custcc"] == "active"


def test_a_tenant_whose_subscriptions_fail_is_tried_again_soon(
    world: World, platform: SmallPlatform, store: Store
) -> None:
    platform.replies[f"custcc/{EVENTS}"] = (403, refusal("forbidden"))
    assert world.handle(notice()) == Done()
    assert (states(store)["custcc"], world.relists) == ("active", [CONFIRM_SECONDS])


def test_an_erased_tenant_is_not_subscribed(world: World, platform: SmallPlatform, store: Store) -> None:
    store.registry.put_tenant(CUSTCC, "gone")
    world.handle(notice())
    assert (platform.subscriptions, world.greetings) == ({}, 0)


def test_notices_are_a_route_of_their_own(world: World) -> None:
    assert (world.notices.route.platform, world.notices.route.topic) == ("mindsphere", PROVISIONING)


# what a worker runs


@pytest.fixture
def told() -> list[tuple[str, bool]]:
    return []


@pytest.fixture
def provisioning(
    platform: SmallPlatform, store: Store, reconciler_with: MakeReconciler, told: list[tuple[str, bool]]
) -> Provisioning:
    settings = Settings.from_environ({**platform.environ(), "LEAVING_RETENTION_DAYS": "30"})

    def hook(tenant: Tenant, joined: bool) -> None:
        told.append((tenant.name, joined))

    return Provisioning(settings, store, reconciler_with(), hook, threading.Event(), jitter=lambda: 0.5)


def test_a_worker_subscribes_everybody_at_its_start_and_tells_the_team(
    provisioning: Provisioning, platform: SmallPlatform, told: list[tuple[str, bool]]
) -> None:
    with provisioning.running():
        wait_until("the subscriptions", lambda: len(platform.subscriptions) == 7, 10)
        wait_until("the hook", lambda: sorted(told) == [("custaa", True), ("custbb", True)], 10)


def test_starting_waits_for_no_platform(provisioning: Provisioning, platform: SmallPlatform) -> None:
    platform.open.clear()
    with provisioning.running():
        assert platform.subscriptions == {}
        platform.open.set()


def test_a_departed_tenant_s_data_is_erased_when_its_time_is_over(
    provisioning: Provisioning, platform: SmallPlatform, store: Store, clock: Clock, tmp_path: Path
) -> None:
    platform.tenants = ["custaa", *(f"cust{number:02}" for number in range(9))]
    provisioning.round()
    secret = b"only custaa says this: 7f3a"
    body = orjson.dumps({"header": {"topic": EVENTS, "tenantContext": ["custaa"]}, "text": secret.decode()})
    store.inbox.add([decoded(body)])
    platform.tenants.remove("custaa")
    provisioning.round()
    provisioning.round()
    assert states(store)["custaa"] == "leaving"
    clock.advance(days=29)
    provisioning.round()
    assert store.reports.counts(CUSTAA).pending == 1 and found(tmp_path, secret)
    clock.advance(days=2)
    provisioning.round()
    assert (states(store)["custaa"], store.reports.counts(CUSTAA).pending) == ("gone", 0)
    assert not found(tmp_path, secret)


def found(folder: Path, text: bytes) -> list[Path]:
    """The database's files that hold this text."""
    return [path for path in folder.iterdir() if path.is_file() and text in path.read_bytes()]


# the team's hook


@pytest.fixture
def module() -> Iterator[ModuleType]:
    module = ModuleType("team_of_this_test")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_the_hook_is_the_on_tenant_of_the_handlers_module(module: ModuleType) -> None:
    seen: list[object] = []
    module.on_tenant = lambda tenant, joined: seen.append((tenant, joined))  # type: ignore[attr-defined]
    load_hook("team_of_this_test:routes")(CUSTAA, True)
    assert seen == [(CUSTAA, True)]


def test_a_module_without_one_is_fine(module: ModuleType) -> None:
    load_hook("team_of_this_test:routes")(CUSTAA, True)


@pytest.mark.parametrize("hook", ["text", lambda tenant: None, lambda: None], ids=["text", "one", "none"])
def test_what_cannot_be_called_like_that_is_told_before_it_is_needed(module: ModuleType, hook: object) -> None:
    module.on_tenant = hook  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="on_tenant of team_of_this_test"):
        load_hook("team_of_this_test:routes")
