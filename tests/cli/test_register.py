"""`register`: shows the plan, and makes it so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subscriber.store import Store
from tests.cli.conftest import Run
from tests.small_platform import SmallPlatform, refusal

EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
ASPECTS = "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification"


@pytest.fixture
def platform(environ: dict[str, str]) -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa", "custbb") as platform:
        environ.update(platform.environ(), MDSP_TOPICS=f"{EVENTS},{ASPECTS}")
        yield platform


def test_the_plan_is_shown_and_nothing_done(run: Run, store: Store, platform: SmallPlatform) -> None:
    result = run("register")
    lines = result.out.splitlines()
    assert result.code == 0
    assert lines[0].split() == ["tenant", "plan", "topic"]
    assert ["custaa", "new", ASPECTS] in [line.split() for line in lines]
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert lines[-1].startswith("7 to subscribe, 0 in place.") and "--apply" in lines[-1]
    assert platform.subscriptions == {}


def test_applying_tells_of_each_subscription(run: Run, store: Store, platform: SmallPlatform) -> None:
    result = run("register", "--apply", "--json")
    assert (result.code, result.err) == (0, "")
    assert len(result.objects) == 7 and all(one["ok"] for one in result.objects)
    assert {(one["tenant"], one["topic"]) for one in result.objects if one["plan"] == "new"} == {
        (f"mindsphere/{tenant}", topic) for tenant, topic in platform.subscriptions
    }


def test_people_see_a_line_per_tenant(run: Run, store: Store, platform: SmallPlatform) -> None:
    lines = run("register", "--apply").out.splitlines()
    assert ["custaa", "2", "topics", "in", "place"] in [line.split() for line in lines]
    assert lines[-1] == "7 of 7 subscriptions are in place."


def test_afterwards_everything_is_in_place(run: Run, store: Store, platform: SmallPlatform) -> None:
    run("register", "--apply")
    assert {one["plan"] for one in run("register", "--json").objects} == {"keep"}


def test_a_refused_tenant_is_told_with_its_cause_and_the_rest_done(
    run: Run, store: Store, platform: SmallPlatform
) -> None:
    platform.replies["custaa"] = (403, refusal("forbidden"))
    result = run("register", "--apply")
    assert result.code == 1
    assert "not provisioned to custaa" in " ".join(result.out.split())
    assert result.out.splitlines()[-1] == "5 of 7 subscriptions are in place."
    failed = [one for one in run("register", "--apply", "--json").objects if not one["ok"]]
    assert {(one["tenant"], one["reason"]) for one in failed} == {("mindsphere/custaa", "tenant_refused")}


def test_a_broker_that_refuses_put_is_subscribed_to_by_post(run: Run, store: Store, platform: SmallPlatform) -> None:
    platform.refused_verbs = {"PUT"}
    assert run("register", "--apply").code == 0
    assert len(platform.subscriptions) == 7


def test_one_tenant_alone(run: Run, store: Store, platform: SmallPlatform) -> None:
    assert len(run("register", "--tenant", "custbb", "--json").objects) == 2
    unknown = run("register", "--tenant", "custzz")
    assert (unknown.code, "not provisioned to mindsphere/custzz" in unknown.err) == (1, True)


def test_tenants_of_other_platforms_are_misuse(run: Run, store: Store, platform: SmallPlatform) -> None:
    assert run("register", "--tenant", "cumulocity/t1").code == 2


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
    assert {one["tenant"] for one in result.objects} == {"mindsphere/acmeop", "mindsphere/custbb"}
    assert result.err.startswith("warning: mindsphere/custaa was erased")


def test_without_credentials_it_is_misuse(run: Run, store: Store) -> None:
    result = run("register")
    assert (result.code, "MDSP_KEY_STORE_CLIENT_ID" in result.err) == (2, True)
