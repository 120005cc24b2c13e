"""`pause`, `resume`, `prune`, `check`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from subscriber.model import EPOCH, Tenant
from subscriber.store import Fence, Store, SubscriptionRow, open_store
from tests.cli.conftest import CREDENTIALS, Result, Run, notification
from tests.small_platform import SmallPlatform
from tests.web.certificates import replace_pair


@pytest.mark.parametrize(
    ("kind", "name", "kept"),
    [
        ("tenant", "custaa", "mindsphere/custaa"),
        ("tenant", "cumulocity/t1", "cumulocity/t1"),
        ("platform", "mindsphere", "mindsphere"),
        ("platform", "cumulocity", "cumulocity"),
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


def subscription(state: str) -> SubscriptionRow:
    return SubscriptionRow(
        tenant=Tenant("mindsphere", "custaa"),
        topic="t",
        subscriber="s",
        version="v1",
        uri="https://g",
        state=state,
        detail="why",
        updated_at=EPOCH,
    )


def test_a_failed_subscription_fails_the_check(run: Run, store: Store) -> None:
    store.registry.put_subscription(subscription("failed"))
    result = run("check", "--json")
    assert result.code == 1
    assert [one["name"] for one in result.objects if not one["ok"]] == ["subscriptions"]


def test_tenants_that_wait_for_a_person_fail_the_check(run: Run, store: Store) -> None:
    number = store.registry.acquire("registration", "test", 60)
    assert number is not None
    store.registry.close_census("mindsphere", EPOCH, 7, Fence(name="registration", holder="test", number=number))
    result = run("check", "--json")
    assert [(one["name"], one["detail"][:9]) for one in result.objects if not one["ok"]] == [("tenants", "7 tenants")]


def test_stale_subscriptions_are_shown_and_fail_nothing(run: Run, store: Store) -> None:
    store.registry.put_subscription(subscription("stale"))
    result = run("check", "--json")
    details = {one["name"]: one["detail"] for one in result.objects}
    assert (result.code, details["stale_subscriptions"]) == (0, "1 that these credentials cannot remove")


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


def test_credentials_are_counted_from_their_first_check(run: Run, store: Store, environ: dict[str, str]) -> None:
    environ.update(CREDENTIALS)
    age = findings(run("check", "--offline", "--json"))["credentials_age"]
    assert (age["ok"], age["detail"]) == (True, "first used here 0 days ago, valid for 365")


def test_old_credentials_fail_the_check_until_they_are_said_to_be_new(
    run: Run, store: Store, environ: dict[str, str]
) -> None:
    environ.update(CREDENTIALS)
    last_year = open_store(environ["DATABASE_URL"], clock=lambda: datetime.now(UTC) - timedelta(days=340))
    last_year.registry.see_credentials("acmedv-alarmapi-v1.4.2")
    last_year.close()
    result = run("check", "--offline", "--json")
    age = findings(result)["credentials_age"]
    assert (result.code, age["ok"]) == (1, False)
    assert "340 days ago" in age["detail"] and "check --renewed" in age["detail"]
    assert run("check", "--offline", "--renewed").code == 0
    assert run("check", "--offline").code == 0


def test_without_credentials_none_can_be_new(run: Run, store: Store) -> None:
    assert "credentials_age" not in findings(run("check", "--json"))
    assert run("check", "--renewed").code == 2


def test_a_certificate_that_ends_soon_fails_the_check(
    run: Run, store: Store, environ: dict[str, str], tmp_path: Path
) -> None:
    chain, key = replace_pair(tmp_path, "me.example")  # ends tomorrow
    environ.update(TLS_CERT_FILE=str(chain), TLS_KEY_FILE=str(key))
    result = run("check", "--json")
    certificate = findings(result)["certificate"]
    assert (result.code, certificate["ok"]) == (1, False)
    assert certificate["detail"].startswith("ends ")


def findings(result: Result) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in result.objects}
