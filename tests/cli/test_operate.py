"""`pause`, `resume`, `prune`, `check`."""

from __future__ import annotations

import pytest

from subscriber.model import EPOCH, Tenant
from subscriber.store import Store, SubscriptionRow
from tests.cli.conftest import Run, notification
from tests.small_platform import SmallPlatform


@pytest.mark.parametrize(
    ("kind", "name", "kept"),
    [
        ("tenant", "custaa", "mindsphere/custaa"),
        ("tenant", "cumulocity/t1", "cumulocity/t1"),
        ("platform", "mindsphere", "mindsphere"),
        ("topic", "mdsp.core.x.v1.pubsub.y", "mdsp.core.x.v1.pubsub.y"),
    ],
)
def test_handling_is_paused_and_goes_on(run: Run, store: Store, kind: str, name: str, kept: str) -> None:
    assert run("pause", kind, name, "--json").objects == [{"kind": kind, "name": kept, "changed": True}]
    assert [(one.kind, one.name) for one in store.registry.pauses()] == [(kind, kept)]
    assert run("resume", kind, name, "--json").objects == [{"kind": kind, "name": kept, "changed": True}]
    assert store.registry.pauses() == []


def test_doing_it_twice_says_so(run: Run, store: Store) -> None:
    run("pause", "tenant", "custaa")
    assert "paused before" in run("pause", "tenant", "custaa").out
    run("resume", "tenant", "custaa")
    assert "was not paused" in run("resume", "tenant", "custaa").out


def test_what_is_paused_is_shown(run: Run, store: Store) -> None:
    assert run("pause").out == "Nothing is paused.\n"
    run("pause", "tenant", "custaa")
    assert [one["name"] for one in run("pause", "--json").objects] == ["mindsphere/custaa"]


@pytest.mark.parametrize("arguments", [("pause", "tenant"), ("pause", "platform", "mindsfere"), ("pause", "x", "y")])
def test_a_pause_that_would_stop_nothing_is_misuse(run: Run, store: Store, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2
    assert store.registry.pauses() == []


def test_pruning_says_what_was_forgotten(run: Run, store: Store) -> None:
    store.inbox.add([notification(1)])
    assert run("prune", "--json").objects == [{"bodies": 0, "rows": 0, "dead_letters": 0, "tenants": 0}]
    assert run("prune").out == "Forgotten: 0 bodies, 0 rows, 0 dead letters, 0 tenants.\n"


def test_a_sound_store_passes_the_check(run: Run, store: Store) -> None:
    result = run("check", "--json")
    assert result.code == 0
    assert {"horizon", "gaps", "subscriptions"} < {finding["name"] for finding in result.objects}
    assert all(finding["ok"] for finding in result.objects)


def test_a_failed_subscription_fails_the_check(run: Run, store: Store) -> None:
    tenant = Tenant("mindsphere", "custaa")
    store.registry.put_subscription(
        SubscriptionRow(
            tenant=tenant,
            topic="t",
            subscriber="s",
            version="v1",
            uri="https://g",
            state="failed",
            detail="why",
            updated_at=EPOCH,
        )
    )
    result = run("check", "--json")
    assert result.code == 1
    assert [one["name"] for one in result.objects if not one["ok"]] == ["subscriptions"]


def test_credentials_are_tried_at_the_platform(run: Run, store: Store, environ: dict[str, str]) -> None:
    with SmallPlatform() as platform:
        environ.update(platform.environ())
        assert run("check").code == 0
        environ["MDSP_KEY_STORE_CLIENT_SECRET"] = "outdated"
        result = run("check", "--json")
    failed = [finding for finding in result.objects if not finding["ok"]]
    assert (result.code, failed[0]["name"]) == (1, "credentials")
    assert "365 days" in failed[0]["detail"] and "outdated" not in result.out


def test_offline_the_platform_is_not_asked(run: Run, store: Store, environ: dict[str, str]) -> None:
    with SmallPlatform() as platform:
        environ.update(platform.environ())
        assert run("check", "--offline").code == 0
        assert platform.calls == []
