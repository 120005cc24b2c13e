"""`register` and `unregister`: show the plan, and make it so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from subscriber.cli.register import SHOWN_LINES
from subscriber.model import EPOCH, Tenant
from subscriber.store import Store, SubscriptionRow
from tests.cli.conftest import Result, Run
from tests.small_platform import SmallPlatform, refusal

EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
ASPECTS = "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification"


@pytest.fixture
def platform(environ: dict[str, str]) -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa", "custbb") as platform:
        environ.update(platform.environ(), MDSP_TOPICS=f"{EVENTS},{ASPECTS}")
        yield platform


def summary(result: Result) -> dict[str, Any]:
    """The last object that `--json` prints."""
    return result.objects[-1]


def test_the_plan_is_shown_and_nothing_done(run: Run, store: Store, platform: SmallPlatform) -> None:
    result = run("register")
    lines = result.out.splitlines()
    assert result.code == 0
    assert lines[0].split() == ["tenant", "topics", "plan"]
    assert ["custaa", "2", "topics", "new"] in [line.split() for line in lines]
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert lines[-1].startswith("7 to change.") and "--apply" in lines[-1]
    assert (platform.subscriptions, store.registry.tenants()) == ({}, [])


def test_applying_tells_of_each_subscription(run: Run, store: Store, platform: SmallPlatform) -> None:
    result = run("register", "--apply", "--json")
    assert (result.code, result.err) == (0, "")
    assert {(one["tenant"], one["topic"]) for one in result.objects[:-1] if one["ok"] and one["plan"] == "new"} == {
        (f"mindsphere/{tenant}", topic) for tenant, topic in platform.subscriptions
    }
    assert summary(result) == {"done": 7, "failed": 0, "stale": 0, "in_place": 7}


def test_people_see_a_line_per_tenant(run: Run, store: Store, platform: SmallPlatform) -> None:
    lines = run("register", "--apply").out.splitlines()
    assert ["custaa", "2", "topics", "done"] in [line.split() for line in lines]
    assert lines[-1] == "7 done, 0 failed, 0 stale; 7 subscriptions are in place."


def test_people_see_no_more_lines_than_they_read(run: Run, store: Store, platform: SmallPlatform) -> None:
    platform.tenants = [f"c{number:03}" for number in range(SHOWN_LINES + 20)]
    lines = run("register").out.splitlines()
    assert len(lines) == SHOWN_LINES + 3 and lines[-2] == "… and 42 more; --json tells each."


def test_a_second_run_plans_no_change(run: Run, store: Store, platform: SmallPlatform) -> None:
    run("register", "--apply")
    assert run("register", "--json").objects == [{"changes": 0, "tenants": 3}]
    assert run("register", "--apply", "--json").objects[:-1] == []


def test_a_refused_tenant_is_told_with_its_cause_and_the_rest_done(
    run: Run, store: Store, platform: SmallPlatform
) -> None:
    platform.replies["custaa"] = (403, refusal("forbidden"))
    result = run("register", "--apply")
    assert result.code == 1
    assert "not provisioned to custaa" in " ".join(result.out.split())
    assert result.out.splitlines()[-1] == "5 done, 2 failed, 0 stale; 5 subscriptions are in place."
    failed = [one for one in run("register", "--apply", "--json").objects[:-1] if not one["ok"]]
    assert {(one["tenant"], one["reason"]) for one in failed} == {("mindsphere/custaa", "tenant_refused")}


def test_a_broker_that_refuses_put_is_subscribed_to_by_post(run: Run, store: Store, platform: SmallPlatform) -> None:
    platform.refused_verbs = {"PUT"}
    assert run("register", "--apply").code == 0
    assert len(platform.subscriptions) == 7


def test_one_tenant_alone(run: Run, store: Store, platform: SmallPlatform) -> None:
    assert summary(run("register", "--tenant", "custbb", "--json"))["changes"] == 2
    assert run("register", "--tenant", "custbb", "--apply").code == 0
    assert {tenant for tenant, _ in platform.subscriptions} == {"custbb"}
    unknown = run("register", "--tenant", "custzz")
    assert (unknown.code, "not provisioned to mindsphere/custzz" in unknown.err) == (1, True)


def test_tenants_of_other_platforms_are_misuse(run: Run, store: Store, platform: SmallPlatform) -> None:
    assert run("register", "--tenant", "cumulocity/t1").code == 2
    assert run("unregister", "--tenant", "cumulocity/t1").code == 2


def test_wrong_credentials_are_one_line_with_the_next_step(
    run: Run, store: Store, platform: SmallPlatform, environ: dict[str, str]
) -> None:
    environ["MDSP_KEY_STORE_CLIENT_SECRET"] = "outdated"
    result = run("register")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "only Read and Write credentials work" in result.err and "outdated" not in result.err


def test_an_erased_tenant_is_left_out_with_a_warning(run: Run, store: Store, platform: SmallPlatform) -> None:
    run("register", "--apply")
    run("tenants", "erase", "custaa", "--yes")
    result = run("register", "--json")
    assert summary(result) == {"changes": 0, "tenants": 2}
    assert result.err.startswith("warning: mindsphere/custaa was erased")


def test_a_list_that_shrank_a_lot_needs_a_person_s_word(run: Run, store: Store, platform: SmallPlatform) -> None:
    run("register", "--apply")
    platform.tenants = ["custbb"]
    waiting = run("register", "--apply")
    assert (waiting.code, "--confirm-shrink" in waiting.err) == (0, True)
    assert "mindsphere/custaa" in waiting.err
    assert {row.state for row in store.registry.tenants()} == {"active"}
    assert run("register", "--apply", "--confirm-shrink").code == 0
    assert {row.tenant.name for row in store.registry.tenants() if row.state == "leaving"} == {"custaa"}


@pytest.mark.parametrize("more", [(), ("--apply", "--tenant", "custaa")])
def test_a_shrink_is_confirmed_by_applying_it_to_all(
    run: Run, store: Store, platform: SmallPlatform, more: tuple[str, ...]
) -> None:
    assert run("register", "--confirm-shrink", *more).code == 2


def test_what_these_credentials_cannot_remove_is_shown(run: Run, store: Store, platform: SmallPlatform) -> None:
    store.registry.put_subscription(
        SubscriptionRow(
            tenant=Tenant("mindsphere", "custaa"),
            topic=EVENTS,
            subscriber="alarmapi",
            version="v1.4.1",
            uri="https://g/old",
            state="stale",
            detail="credentials are of another version",
            updated_at=EPOCH,
        )
    )
    assert "1 older subscriptions are stale" in run("register").err


def test_it_waits_while_another_instance_is_at_it(run: Run, store: Store, platform: SmallPlatform) -> None:
    store.registry.acquire("registration", "a worker", 60)
    later = threading.Timer(0.3, store.registry.release, ("registration", "a worker"))
    later.start()
    waited = run("register", "--apply")
    later.join()
    assert (waited.code, "another instance is at the same" in waited.err) == (0, True)
    assert len(platform.subscriptions) == 7


def test_a_platform_that_does_not_answer_is_told_at_once_and_tried_again(
    run: Run, store: Store, platform: SmallPlatform
) -> None:
    def away_once(page: int) -> tuple[int, dict[str, Any]]:
        platform.pages = None
        return 503, {}

    platform.pages = away_once
    result = run("register", "--json")
    assert (result.code, summary(result)["changes"]) == (0, 7)
    assert result.err.startswith("warning: no answer yet, trying for up to 10 s: ")
    assert "was answered 503" in result.err


def test_unregistering_shows_first_and_removes_when_told(run: Run, store: Store, platform: SmallPlatform) -> None:
    run("register", "--apply")
    shown = run("unregister", "--json")
    assert (shown.code, summary(shown)["changes"], len(platform.subscriptions)) == (0, 7, 7)
    result = run("unregister", "--apply")
    assert (result.code, platform.subscriptions) == (0, {})
    assert result.out.splitlines()[-1] == "7 done, 0 failed, 0 stale; 0 subscriptions are in place."


def test_one_tenant_is_unregistered_alone_and_again_registers_anew(
    run: Run, store: Store, platform: SmallPlatform
) -> None:
    run("register", "--apply")
    run("unregister", "--tenant", "custaa", "--apply")
    assert {tenant for tenant, _ in platform.subscriptions} == {"acmeop", "custbb"}
    before = platform.methods("/topics/")["PUT"]
    assert run("unregister", "--apply", "--again").code == 0
    assert len(platform.subscriptions) == 7
    assert platform.methods("/topics/")["PUT"] == before + 7


def test_without_credentials_it_is_misuse(run: Run, store: Store) -> None:
    result = run("register")
    assert (result.code, "MDSP_KEY_STORE_CLIENT_ID" in result.err) == (2, True)
