"""`register`, `unregister` and `check` where Pelion is on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

import migrations
from subscriber.cli import main
from tests.pelion.conftest import RULE, World


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
    return {"DATABASE_URL": url, **world.environ(world.channel(presubscriptions=[RULE]))}


@pytest.fixture
def run(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main((*arguments, "--json"), environ)
        captured = capsys.readouterr()
        return Result(code, [orjson.loads(line) for line in captured.out.splitlines()], captured.err)

    return run


def findings(result: Result) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in result.objects}


def test_the_plan_is_shown_then_made_so_then_empty(run: Run, world: World) -> None:
    shown = run("register")
    assert (shown.code, shown.objects[-1]) == (0, {"changes": 2, "tenants": 1})
    assert shown.objects[0] == {
        "tenant": "pelion/cellar",
        "plan": "new",
        "topic": "channel",
        "subscriber": "",
        "version": "websocket",
        "uri": "",
    }
    assert world.kind() is None
    applied = run("register", "--apply")
    assert (applied.code, applied.objects[-1]) == (0, {"done": 2, "failed": 0, "stale": 0, "in_place": 2})
    assert run("register").objects == [{"changes": 0, "tenants": 1}]


def test_one_channel_is_registered_alone(run: Run, world: World) -> None:
    assert run("register", "--apply", "--tenant", "pelion/cellar").code == 0
    assert world.kind() == "WEB_SOCKET"
    assert run("register", "--tenant", "pelion/gates").code == 1
    assert run("register", "--tenant", "custaa").code == 2


def test_leaving_shows_first_and_deletes_the_channel_when_told(run: Run, world: World) -> None:
    run("register", "--apply")
    assert run("unregister").objects[-1]["changes"] == 2 and world.kind() == "WEB_SOCKET"
    assert run("unregister", "--apply").code == 0
    assert (world.kind(), world.rules()) == (None, [])


def test_registering_again_gives_a_channel_the_limits_of_the_account_s_new_tier(run: Run, world: World) -> None:
    world.turn(pelion_tier="0", pelion_batch_items=100)
    run("register", "--apply")
    assert findings(run("check"))["pelion_cellar_account"]["ok"]
    world.turn(pelion_tier="1", pelion_batch_items=10_000)
    result = run("check")
    found = findings(result)["pelion_cellar_account"]
    assert (result.code, found["ok"]) == (1, False)
    assert "tier was 0 and is 1" in found["detail"] and "unregister --apply --again" in found["detail"]
    assert run("unregister", "--apply", "--again", "--tenant", "pelion/cellar").code == 0
    assert findings(run("check"))["pelion_cellar_account"]["ok"]


def test_a_check_says_how_the_channel_stands(run: Run, world: World, environ: dict[str, str]) -> None:
    result = run("check")
    assert (result.code, findings(result)["pelion_cellar"]["ok"]) == (1, False)
    world.ask("PUT", "/v2/notification/websocket")
    run("register", "--apply")
    assert "without ids and times" in findings(run("check"))["pelion_cellar"]["detail"]
    run("unregister", "--apply", "--again")
    result = run("check")
    assert (result.code, findings(result)["pelion_cellar"]["detail"]) == (0, "websocket, with all flags")
    environ["PELION_CHANNELS"] = environ["PELION_CHANNELS"].replace(world.keys["cellar"], "ak_1revoked")
    result = run("check")
    found = findings(result)["pelion_cellar"]
    assert (result.code, "access key is not valid" in found["detail"]) == (1, True)
    assert "ak_1revoked" not in str(result)
    assert run("check", "--offline").code == 0


def test_a_refusal_fails_the_command_and_is_told(run: Run, world: World) -> None:
    world.ask("PUT", "/v2/notification/callback", {"url": f"{world.app.url}/theirs"})
    result = run("register", "--apply")
    (failed,) = [one for one in result.objects[:-1] if not one["ok"]]
    assert (result.code, failed["reason"]) == (1, "channel_kind")
    found = findings(run("check"))
    assert not found["pelion_subscriptions"]["ok"] and "kind callback" in found["pelion_cellar"]["detail"]


def test_without_anything_to_register_the_command_says_what_is_missing(run: Run, environ: dict[str, str]) -> None:
    del environ["PELION_CHANNELS"]
    result = run("register")
    assert (result.code, "PELION_CHANNELS" in result.err) == (2, True)
