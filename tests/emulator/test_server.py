"""One port, one state, a clean start and a clean end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from emulator.knobs import Knobs, turn
from emulator.server import Config, build_app
from tests.emulator.running import ROOT, Client, receiver, running_emulator, wait_for


def start(*args: str) -> subprocess.CompletedProcess[str]:
    """For starts that must fail."""
    command = [sys.executable, "-m", "emulator", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)


def test_a_second_start_on_the_same_port_or_state_is_refused(tmp_path: Path) -> None:
    with running_emulator(state=tmp_path / "emu.db") as emulator:
        same_port = start("--port", str(emulator.port), "--state", str(tmp_path / "other.db"))
        same_state = start("--port", "0", "--state", str(tmp_path / "emu.db"))
        assert emulator.control("/health") == {"status": "up"}
    assert (same_port.returncode, same_state.returncode) == (2, 2)
    assert "cannot listen on 127.0.0.1" in same_port.stderr
    assert "another emulator uses the state file" in same_state.stderr
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_also_while_it_delivers(tmp_path: Path, number: signal.Signals) -> None:
    with receiver() as app, running_emulator("--app", app.url, state=tmp_path / "emu.db") as emulator:
        client = Client(emulator.credentials())
        client.subscribe("mdsp.core.eventmanagement.v1.pubsub.eventnotification")
        emulator.control("/publish", {"topic": "eventnotification", "tenant": "acmeop", "count": 2000})
        wait_for(lambda: len(app.got) > 20)
        emulator.process.send_signal(number)
        assert emulator.stop() == 0
        client.close()


def test_it_listens_on_one_loopback_address_unless_told_otherwise() -> None:
    with running_emulator() as emulator, socket.socket() as probe:
        assert emulator.url.startswith("http://127.0.0.1:")
        assert probe.connect_ex(("127.0.0.2", emulator.port)) != 0


def test_told_to_it_listens_everywhere() -> None:
    with running_emulator("--host", "0.0.0.0") as emulator:
        answer = requests.get(f"http://127.0.0.2:{emulator.port}/token_keys", timeout=5)
        assert answer.status_code == 200 and answer.json()["keys"]


def test_scaled_time_lets_days_pass_in_seconds() -> None:
    """C10: the clock's pace is a knob."""
    with receiver() as app:
        app.answer(503)
        knobs = ("--knob", "EMU_TIME_SCALE=200000", "--knob", "EMU_RETRY_BASE_S=60000")
        with running_emulator("--app", app.url, *knobs) as emulator:
            client = Client(emulator.credentials())
            client.subscribe("mdsp.core.eventmanagement.v1.pubsub.eventnotification")
            emulator.control("/publish", {"topic": "eventnotification", "tenant": "acmeop", "count": 5})
            wait_for(lambda: emulator.ledger()["expired"] == 5)
            client.close()


def test_a_real_clock_retries_by_itself() -> None:
    """C10"""
    with receiver() as app:
        app.answer(503, 503, 204)
        with running_emulator("--app", app.url, "--knob", "EMU_RETRY_BASE_S=0.05") as emulator:
            client = Client(emulator.credentials())
            client.subscribe("mdsp.core.eventmanagement.v1.pubsub.eventnotification")
            emulator.control("/publish", {"topic": "eventnotification", "tenant": "acmeop"})
            assert emulator.wait_until_delivered()["attempts"] == 3
            client.close()


def test_no_secret_and_no_token_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "emulator", "--port", "0", "--state", str(tmp_path / "emu.db")]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stream, text=True)
        assert process.stdout is not None
        with process.stdout:
            url = process.stdout.readline().split()[-1]
        credentials = requests.get(f"{url}/_control/credentials", timeout=5).json()["mindsphere"]
        client = Client(credentials)
        token = client.token()
        client.ask_token(json={"appName": 1})
        client.subscription("PUT", "nonsense")
        client.close()
        process.terminate()
        assert process.wait(20) == 0
    written = log.read_text()
    assert credentials["client_secret"] not in written and token not in written


def test_it_can_be_built_inside_another_process(tmp_path: Path) -> None:
    app, emulator = build_app(Config(state=tmp_path / "emu.db", virtual=True, knobs=turn(Knobs(), {})))
    emulator.listening_at("http://127.0.0.1:5")
    assert emulator.mindsphere.credentials()["gateway"] == "http://127.0.0.1:5/gateway"
    assert {"/_control/ledger", "/token_keys"} <= {resource.canonical for resource in app.router.resources()}
    emulator.journal.close()
