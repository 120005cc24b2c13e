"""`register`, `unregister`, `check` and `tenants list` where Cumulocity is on, alone or beside MindSphere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

import migrations
from subscriber.cli import main
from tests.cumulocity.conftest import COLD, World
from tests.small_platform import SmallPlatform

EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"


class Result(NamedTuple):
    code: int
    objects: list[dict[str, Any]]
    err: str


Run = Callable[..., Result]


@pytest.fixture
def environ(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/commands.db"
    migrations.apply(url)
    return {"DATABASE_URL": url, **world.environ()}


@pytest.fixture
def run(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main((*arguments, "--json"), environ)
        captured = capsys.readouterr()
        return Result(code, [orjson.loads(line) for line in captured.out.splitlines()], captured.err)

    return run


def test_the_plan_is_shown_then_made_so_then_empty(run: Run, world: World) -> None:
    shown = run("register")
    assert (shown.code, shown.objects[-1]) == (0, {"changes": 4, "tenants": 2})
    assert shown.objects[0] == {
        "tenant": "cumulocity/t123",
        "plan": "new",
        "topic": "coldChain/*",
        "subscriber": "",
        "version": "persistent",
        "uri": '{"apis":["alarms","managedobjects"]}',
    }
    assert world.rules() == []
    applied = run("register", "--apply")
    assert (applied.code, applied.objects[-1]) == (0, {"done": 4, "failed": 0, "stale": 0, "in_place": 4})
    assert run("register").objects == [{"changes": 0, "tenants": 2}]
    listed = run("tenants", "list").objects
    assert [(row["tenant"], row["state"]) for row in listed] == [
        ("cumulocity/t123", "active"),
        ("cumulocity/t124", "active"),
    ]


def test_a_refusal_is_told_with_its_cause_and_the_rest_done(run: Run, world: World) -> None:
    world.roles("t124")
    shown = run("register")
    assert [one["plan"] for one in shown.objects[:-1]] == ["new", "new", "unsure", "unsure"]
    assert "2 are unsure" in shown.err and "`check` tells why" in shown.err
    result = run("register", "--apply")
    failed = [one for one in result.objects[:-1] if not one["ok"]]
    assert (result.code, {(one["tenant"], one["reason"]) for one in failed}) == (
        1,
        {("cumulocity/t124", "role_missing")},
    )
    assert len(world.rules("t123")) == 1
    found = {one["name"]: one for one in run("check").objects}
    assert not found["cumulocity_subscriptions"]["ok"]
    assert "ROLE_NOTIFICATION_2_ADMIN" in found["cumulocity_credentials"]["detail"]


def test_what_differs_is_replaced_after_a_warning(run: Run, world: World, environ: dict[str, str]) -> None:
    run("register", "--apply")
    environ.update(world.environ({**COLD, "apis": ["events"]}))
    shown = run("register")
    assert [one["plan"] for one in shown.objects[:-1]] == ["differs", "differs"]
    assert "what happens in between is lost" in shown.err
    assert run("register", "--apply").code == 0
    assert world.rules()[0]["subscriptionFilter"] == {"apis": ["events"]}


def test_leaving_shows_first_and_removes_when_told(run: Run, world: World) -> None:
    run("register", "--apply")
    assert run("unregister").objects[-1]["changes"] == 4 and len(world.rules()) == 1
    assert run("unregister", "--apply", "--tenant", "cumulocity/t124").code == 0
    assert (len(world.rules("t123")), world.rules("t124")) == (1, [])
    assert run("unregister", "--apply", "--again").code == 0
    assert (len(world.rules("t123")), len(world.rules("t124"))) == (1, 1)
    assert run("unregister", "--apply").code == 0
    assert (world.rules("t123"), world.rules("t124")) == ([], [])


def test_a_check_is_content_and_offline_asks_nobody(run: Run, environ: dict[str, str]) -> None:
    run("register", "--apply")
    assert run("check").code == 0
    environ["C8Y_BOOTSTRAP_PASSWORD"] = "outdated"
    assert run("check", "--offline").code == 0
    result = run("check")
    (failed,) = [one for one in result.objects if not one["ok"]]
    assert (failed["name"], "C8Y_BOOTSTRAP" in failed["detail"]) == ("cumulocity_credentials", True)
    assert "outdated" not in failed["detail"]


def test_two_platforms_are_registered_one_after_the_other_and_neither_stops_the_other(
    run: Run, world: World, environ: dict[str, str]
) -> None:
    with SmallPlatform("custaa") as mindsphere:
        environ.update(mindsphere.environ(), MDSP_TOPICS=EVENTS)
        both = run("register", "--apply")
        assert (both.code, len(mindsphere.subscriptions), len(world.rules())) == (0, 3, 1)
        assert [one["in_place"] for one in both.objects if "in_place" in one] == [3, 4]
        environ["MDSP_KEY_STORE_CLIENT_SECRET"] = "outdated"
        world.ask("DELETE", f"/notification2/subscriptions/{world.rules()[0]['id']}")
        result = run("register", "--apply")
    assert (result.code, len(world.rules())) == (1, 1)
    assert "mindsphere: " in result.err


def test_tenants_of_a_platform_that_is_off_are_misuse(run: Run) -> None:
    assert run("register", "--tenant", "custaa").code == 2
    assert run("unregister", "--tenant", "pelion/east").code == 2


def test_a_tenant_that_is_not_listed_is_unknown(run: Run) -> None:
    result = run("register", "--tenant", "cumulocity/t999")
    assert (result.code, "not provisioned to cumulocity/t999" in result.err) == (1, True)


def test_credentials_alone_subscribe_nothing_and_are_no_news(run: Run, world: World, environ: dict[str, str]) -> None:
    del environ["C8Y_SUBSCRIPTIONS"]
    assert not any(one["name"].startswith("cumulocity") for one in run("check").objects)
    with SmallPlatform("custaa") as mindsphere:
        environ.update(mindsphere.environ(), MDSP_TOPICS=EVENTS)
        assert run("register").objects[-1] == {"changes": 3, "tenants": 2}


def test_what_was_subscribed_before_is_removed_when_nothing_is_configured(
    run: Run, world: World, environ: dict[str, str]
) -> None:
    run("register", "--apply")
    del environ["C8Y_SUBSCRIPTIONS"]
    assert {one["plan"] for one in run("register").objects[:-1]} == {"dropped"}
    assert run("register", "--apply").code == 0
    assert (world.rules("t123"), world.rules("t124")) == ([], [])
