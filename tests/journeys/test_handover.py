"""The application moves: from the developer's tenant to the operator's, and from one version to the next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from emulator.processes import wait_until
from tests.journeys.rehearsal import EVENTS, FULL, TENANTS, TOPICS, Rehearsal

pytestmark = pytest.mark.journey

COUNT = 100 if FULL else 10  # messages a tenant and topic
SOON = ("EMU_RETRY_BASE_S=0.2", "EMU_RETRY_MAX_S=1")
EVERY = 5 * len(TENANTS) + 1  # the default topics everywhere, provisioning in the host


def act_as(world: Rehearsal, credentials: dict[str, Any]) -> None:
    """What a deployment changes: the credentials, and with a new version its name."""
    world.environ.pop("MDSP_HOST_TENANT", None)
    world.environ |= {
        "MDSP_KEY_STORE_CLIENT_ID": credentials["client_id"],
        "MDSP_KEY_STORE_CLIENT_SECRET": credentials["client_secret"],
        "MDSP_OS_VM_APP_VERSION": credentials["version"],
    }


def subscriptions(world: Rehearsal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.control("subscriptions?limit=5000")["items"]
    return found


def count(world: Rehearsal, **wanted: str) -> int:
    return sum(all(item[name] == value for name, value in wanted.items()) for item in subscriptions(world))


def stale(world: Rehearsal) -> str:
    (found,) = [finding for finding in world.run("check") if finding["name"] == "stale_subscriptions"]
    return str(found["detail"])


def restart(world: Rehearsal) -> None:
    assert world.service is not None and world.service.stop() == 0
    world.start_service()


def test_a_handover_changes_the_credentials_alone_and_every_context_they_reach_moves(tmp_path: Path) -> None:
    with Rehearsal(tmp_path, knobs=SOON) as world:
        world.start_emulator()
        act_as(world, world.control("credentials?tenant=acmedv")["mindsphere"])
        world.start_service()
        wait_until("the developer's subscriptions", lambda: count(world, tenant="acmedv") == 6, 20)
        world.publish("acmedv", EVENTS, COUNT)
        world.settle()
        assert world.counts()["done"] == COUNT

        act_as(world, world.control("credentials?tenant=acmeop")["mindsphere"])
        restart(world)
        wait_until("the operator's subscriptions", lambda: len(subscriptions(world)) == EVERY + 6, 20)
        uris = {item["uri"] for item in subscriptions(world) if item["tenant"] != "acmedv"}
        assert {uri.partition("/api/")[2] for uri in uris} == {"alarmapi-acmeop/v1/notifications/mindsphere"}
        wait_until("the old ones to be listed", lambda: stale(world).startswith("6 "), 20)
        assert world.run("register") == [{"changes": 0, "tenants": len(TENANTS)}]

        world.publish_everywhere(COUNT)
        world.settle()
        assert world.books().even


@pytest.mark.parametrize("bound", ["1", "0"], ids=["credentials of a version", "credentials of an application"])
def test_two_versions_live_for_a_while_and_nothing_is_handled_twice(tmp_path: Path, bound: str) -> None:
    """Whether a version may remove what an older one subscribed is not published: both are played."""
    with Rehearsal(tmp_path, knobs=(*SOON, f"EMU_MB_BIND_CLIENT={bound}")) as world:
        world.start()
        assert count(world, version="v1.4.2") == EVERY
        new = world.control("applications", {"version": "v1.5.0"})
        if bound == "1":
            keep_both_alive(world, new)
        act_as(world, new)
        restart(world)
        wait_until("the new version's subscriptions", lambda: count(world, version="v1.5.0") == EVERY, 20)
        if bound == "1":
            wait_until("the old ones to be listed", lambda: stale(world).startswith(f"{EVERY} "), 20)
            assert count(world, version="v1.4.2") == EVERY
        else:
            wait_until("the old ones to go", lambda: count(world, version="v1.4.2") == 0, 20)
            assert stale(world) == "none"
        assert world.run("register") == [{"changes": 0, "tenants": len(TENANTS)}]
        publish_and_check(world, copies=2 if bound == "1" else 1)


def keep_both_alive(world: Rehearsal, new: dict[str, Any]) -> None:
    """The new version is subscribed while the old one still runs: each fact comes once for either."""
    old = dict(world.environ)
    act_as(world, new)
    world.run("register", "--apply")
    world.environ = old
    publish_and_check(world, copies=2)


def publish_and_check(world: Rehearsal, *, copies: int) -> None:
    before, duplicates = len(world.receiver.effects), world.counts()["duplicates"]
    for tenant in TENANTS:
        for topic in TOPICS:
            world.publish(tenant, topic, COUNT)
    world.settle()
    messages = COUNT * len(TENANTS) * len(TOPICS)
    assert len(world.receiver.effects) - before == messages
    assert max(Counter(world.receiver.effects).values()) == 1
    assert world.counts()["duplicates"] - duplicates == (copies - 1) * messages
