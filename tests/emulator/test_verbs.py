"""The command line: the verbs, their output, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emulator.faults import NAMES
from emulator.mindsphere.topics import TOPICS
from emulator.verbs import main
from tests.emulator.conftest import World
from tests.emulator.running import ROOT

ASSET = TOPICS["asset"]


def run(*args: str) -> Result:
    """In this process: a verb is one request to the running server."""
    return CliRunner().invoke(main, list(args), prog_name="emulator")


def verb(world: World, *args: str) -> Result:
    return run(*args, "--port", str(world.emulator.port))


def as_json(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_publish_says_how_many_and_the_ledger_balances(world: World) -> None:
    world.client.subscribe(ASSET, "acmeop", "custaa", "custbb")
    published = verb(world, "publish", "--topic", "asset", "--count", "10", "--duplicate", "0.5", "--json")
    assert as_json(published) == {"messages": 30, "published": 30}
    world.delivered()
    totals = as_json(verb(world, "ledger", "--json"))
    assert list(totals)[:5] == ["published", "attempts", "acknowledged", "expired", "pending"]
    assert totals["acknowledged"] == 30 and int(str(totals["attempts"])) > 30
    lines = verb(world, "ledger", "--items").stdout.splitlines()
    items = [json.loads(line) for line in lines]
    assert len(items) == 30
    assert {"id", "tenant", "topic", "state", "attempts", "acknowledged", "body_sha256"} <= set(items[0])


def test_publish_takes_a_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"as": "it is"}')
    world.client.subscribe(ASSET, "custaa")
    verb(world, "publish", "--tenant", "custaa", "--topic", ASSET, "--body", str(tmp_path / "body.json"))
    world.delivered()
    assert world.app.got[0].body == b'{"as": "it is"}'


def test_publishing_to_nobody_says_so(world: World) -> None:
    result = verb(world, "publish", "--tenant", "custaa")
    assert result.exit_code == 0 and "nobody has subscribed" in result.stderr


def test_facts_wait_for_their_window(world: World) -> None:
    world.client.subscribe(TOPICS["eventnotification"], "custaa")
    answer = as_json(
        verb(world, "publish", "--tenant", "custaa", "--topic", "eventnotification", "--windowed", "--json")
    )
    assert list(answer) == ["window_closes_at"]
    verb(world, "clock", "--advance", "60")
    assert world.delivered()["acknowledged"] == 1


def test_tenants_come_and_go(world: World) -> None:
    assert as_json(verb(world, "provision", "cumulocity/t125", "--json")) == {"provisioned": 1, "unchanged": 0}
    assert as_json(verb(world, "provision", "custcc", "custaa", "--json")) == {"provisioned": 1, "unchanged": 1}
    assert as_json(verb(world, "deprovision", "custcc", "--json")) == {"deprovisioned": 1, "unchanged": 0}


def test_keys_rotate(world: World) -> None:
    assert list(as_json(verb(world, "rotate-keys", "--zone", "core", "--json"))) == ["signing"]


def test_faults_are_declared_and_cleared(world: World) -> None:
    verb(world, "fault", "outage", "--for", "60")
    assert "outage" in verb(world, "fault").output
    assert as_json(verb(world, "fault", "none", "--json")) == {"faults": []}
    wrong = verb(world, "fault", "rain")
    assert wrong.exit_code == 1 and "there is no fault 'rain'" in wrong.output


def test_the_clock_advances(world: World) -> None:
    before = as_json(verb(world, "clock", "--json"))["now"]
    assert as_json(verb(world, "clock", "--advance", "5", "--json"))["now"] == float(str(before)) + 5


def test_reset_is_quiet(world: World) -> None:
    result = verb(world, "reset")
    assert (result.exit_code, result.output) == (0, "")


def test_credentials_have_the_contracts_members(world: World) -> None:
    answer = as_json(verb(world, "credentials", "--json"))
    assert answer["mindsphere"] == world.emulator.credentials()
    developer = as_json(verb(world, "credentials", "--tenant", "acmedv"))
    assert developer["mindsphere"] != answer["mindsphere"]
    assert run("credentials", "--env", "--json").exit_code == 2


def test_credentials_come_as_the_subscribers_settings(world: World) -> None:
    found = world.emulator.environment()
    assert [name for name in found if name.startswith("MDSP_")] == [
        "MDSP_GATEWAY_URL",
        "MDSP_PIAM_URL",
        "MDSP_KEY_STORE_CLIENT_ID",
        "MDSP_KEY_STORE_CLIENT_SECRET",
        "MDSP_OS_VM_APP_NAME",
        "MDSP_OS_VM_APP_VERSION",
        "MDSP_HOST_TENANT",
    ]
    assert found["MDSP_GATEWAY_URL"] == f"{world.emulator.url}/gateway"
    assert found["MDSP_PIAM_URL"] == f"{world.emulator.url}/{{tenant}}.piam"
    assert found["MDSP_HOST_TENANT"] == "acmeop"


def test_a_microservices_environment_comes_along(world: World) -> None:
    """As the platform sets it in a container, for several tenants or for one."""
    found = world.emulator.environment()
    told = world.emulator.control("/credentials")["cumulocity"]
    assert found["C8Y_BASEURL"] == f"{world.emulator.url}/c8y" == told["base_url"]
    assert found["C8Y_MICROSERVICE_ISOLATION"] == "MULTI_TENANT" and found["APPLICATION_NAME"]
    for name in ("tenant", "user", "password"):
        assert found[f"C8Y_{name.upper()}"] == told[name]
        assert found[f"C8Y_BOOTSTRAP_{name.upper()}"] == told["bootstrap"][name]


def test_knobs_are_listed_and_turned(world: World) -> None:
    assert verb(world, "knobs", "EMU_SLOW_S=7").exit_code == 0
    listed = as_json(verb(world, "knobs", "--json"))["knobs"]
    assert isinstance(listed, dict) and listed["EMU_SLOW_S"] == 7
    assert "EMU_SLOW_S=7" in verb(world, "knobs").output
    assert verb(world, "knobs", "EMU_SLOW_S").exit_code == 2
    assert verb(world, "knobs", "EMU_SLOW_S=fast").exit_code == 1


def test_the_port_may_stand_before_the_verb(world: World) -> None:
    assert run("--port", str(world.emulator.port), "ledger", "--json").exit_code == 0


def test_without_a_server_a_verb_fails_clearly() -> None:
    result = run("ledger", "--port", "9")
    assert result.exit_code == 1 and "no emulator answers on port 9" in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["--port", "70000"],
        ["--clock", "slow"],
        ["--app", "ftp://x"],
        ["--seed", "x"],
        ["--seed", str(2**70)],
        ["--knob", "EMU_NOTHING=1"],
        ["--knob", "EMU_RETENTION_S"],
        ["nothing"],
        ["publish", "--count", "0"],
        ["publish", "--duplicate", "2"],
        ["provision"],
        ["clock", "--advance", "-1"],
        ["fault", "cut", "--probability", "2"],
    ],
)
def test_misuse_is_told_and_ends_with_two(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2 and "Error" in result.output


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    result = run("--port", "0", "--state", str(tmp_path / "e.db"), "--knob", "EMU_APP_CA_FILE=/nowhere.pem")
    assert result.exit_code == 2 and "EMU_APP_CA_FILE" in result.output


@pytest.mark.parametrize(
    "verb_name", ["", "publish", "provision", "rotate-keys", "fault", "clock", "ledger", "credentials", "knobs"]
)
def test_help_fits_eighty_columns(verb_name: str) -> None:
    result = run(*([verb_name] if verb_name else []), "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    if verb_name == "fault":
        assert all(f"\n  {name} " in result.output for name in NAMES)


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "emulator", "--help"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed.startswith("Usage: python -m emulator")
