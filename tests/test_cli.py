"""The command line as a process: exit codes, one line per failure, the environment, a quick start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from subscriber.cli import main
from subscriber.store import open_store
from tests.cli.conftest import notification
from tests.emulator.running import wait_for
from tests.small_platform import SmallPlatform

ROOT = Path(__file__).parent.parent


def run(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "subscriber", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    pending = run("migrate", "--list", "--json", folder=tmp_path)
    assert {orjson.loads(line)["state"] for line in pending.stdout.splitlines()} == {"pending"}
    assert not (tmp_path / "var").exists()
    first, again = (run("migrate", folder=tmp_path) for _ in range(2))
    assert "0001_inbox" in first.stdout
    assert (again.returncode, again.stdout) == (0, "The schema is current.\n")
    assert run("migrate", "--list", "--json", folder=tmp_path).stdout == ""


def test_a_database_that_was_never_migrated_is_one_line_that_names_the_next_step(tmp_path: Path) -> None:
    result = run("inbox", "counts", folder=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert "python -m subscriber migrate" in result.stderr


def test_all_problems_of_the_settings_are_told_at_once(tmp_path: Path) -> None:
    result = run("settings", folder=tmp_path, PORT="x", MAX_ATTEMPTS="0", TLS_CERT_FILE="a")
    assert result.returncode == 2
    assert [line.split()[1].rstrip(":") for line in result.stderr.splitlines()] == [
        "PORT",
        "MAX_ATTEMPTS",
        "TLS_CERT_FILE",
    ]


def test_a_database_that_cannot_be_made_is_a_failure_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("migrate", folder=tmp_path, DATABASE_URL="sqlite:///file/subscriber.db")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("inbox", "show"), ("migrate", "--nonsense")])
def test_misuse_ends_with_two(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")


def origin_of_port(result: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    rows = {row["setting"]: row for row in map(orjson.loads, result.stdout.splitlines())}
    return rows["PORT"]["value"], rows["PORT"]["origin"]


def test_the_working_folders_env_file_is_read_in_development(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9000\n")
    assert origin_of_port(run("settings", "--json", folder=tmp_path)) == ("9000", ".env")


def test_the_real_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9000\n")
    assert origin_of_port(run("settings", "--json", folder=tmp_path, PORT="9001")) == ("9001", "environment")


def test_on_cloud_foundry_the_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9000\n")
    result = run("settings", "--json", folder=tmp_path, VCAP_APPLICATION="{}", ALLOW_EPHEMERAL_SQLITE="1")
    assert origin_of_port(result) == ("8080", "default")


def test_a_bad_env_file_is_misuse(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("nonsense\n")
    result = run("settings", folder=tmp_path)
    assert (result.returncode, "line 1" in result.stderr) == (2, True)


def test_what_the_file_adds_reaches_child_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PORT=9000\nHOST=::1\n")
    environ = {"HOST": "127.0.0.1"}
    assert main(["settings", "--json"], environ) == 0
    assert environ == {"HOST": "127.0.0.1", "PORT": "9000"}


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "subscriber", "settings", "--json"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        command, cwd=tmp_path, env=environ, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writing)
    assert process.stderr == ""
    assert process.returncode == 1


def started(*arguments: str, folder: Path, platform: SmallPlatform) -> subprocess.Popen[str]:
    run("migrate", folder=folder)
    return subprocess.Popen(
        [sys.executable, "-m", "subscriber", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **platform.environ()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_is_clean(tmp_path: Path) -> None:
    with SmallPlatform() as platform:
        platform.open.clear()
        process = started("register", folder=tmp_path, platform=platform)
        wait_for(lambda: platform.calls)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.strip()) == (130, "error: interrupted")


def test_ctrl_c_while_subscribing_leaves_the_rest_and_says_what_was_done(tmp_path: Path) -> None:
    with SmallPlatform(*(f"cust{number}" for number in range(80))) as platform:
        platform.broker_open.clear()
        process = started("register", "--apply", folder=tmp_path, platform=platform)
        wait_for(lambda: platform.count("PUT") == 1)  # the host comes first
        process.send_signal(signal.SIGINT)
        platform.broker_open.set()
        shown, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "ended early (stopped): run it again" in errors and len(errors.splitlines()) == 1
    assert shown.splitlines()[-1] == "1 done, 0 failed, 0 stale; 1 subscriptions are in place."


def test_the_worker_handles_what_is_there_and_stops_in_order(tmp_path: Path) -> None:
    run("migrate", folder=tmp_path)
    store = open_store(f"sqlite:///{tmp_path}/var/subscriber.db")
    try:
        store.inbox.add([notification(1)])
        process = subprocess.Popen(
            [sys.executable, "-m", "subscriber", "work"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: store.reports.counts().done == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        store.close()


@pytest.mark.parametrize("arguments", [("inbox", "list"), ("inbox", "counts", "--json")])
def test_looking_at_the_inbox_loads_neither_web_nor_network(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run("migrate", folder=tmp_path)
    program = (
        "import sys; from subscriber.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'flask', 'gunicorn', 'requests', 'jwt', 'cryptography', 'sqlite_utils', 'prometheus_client'};"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr.strip()) == (0, "")
