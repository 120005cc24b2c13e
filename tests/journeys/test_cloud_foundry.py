"""Cloud Foundry's part played locally: what is uploaded, how it is started, how it is stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from emulator.processes import answers, wait_until
from tests.journeys.rehearsal import ROOT, free_port

pytestmark = pytest.mark.journey

CREDENTIALS = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}


def uploaded(target: Path) -> None:
    """Copy what `cf push` would: everything that .cfignore does not name."""
    ignored = [line.strip("/") for line in (ROOT / ".cfignore").read_text().split() if not line.startswith("#")]
    shutil.copytree(
        ROOT, target, ignore=lambda _, names: {name for name in names if any(fnmatch(name, each) for each in ignored)}
    )


def test_the_container_starts_answers_on_its_port_and_stops_in_time(tmp_path: Path) -> None:
    uploaded(tmp_path / "app")
    command = re.search(r"^ +command: (.+)$", (tmp_path / "app" / "manifest.yml").read_text(), re.MULTILINE)
    assert command is not None
    port = free_port()
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": str(port),
        "VCAP_APPLICATION": "{}",
        "CF_INSTANCE_INDEX": "0",
        "ALLOW_EPHEMERAL_SQLITE": "1",
    }
    child = subprocess.Popen(["sh", "-c", command.group(1)], cwd=tmp_path / "app", env=environ | CREDENTIALS)
    try:
        wait_until("the health check", lambda: answers(f"http://127.0.0.1:{port}/health"), 60)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    finally:
        child.kill()


def test_the_manifest_holds_no_secret() -> None:
    assert not re.search(r"SECRET|PASSWORD|TOKEN", (ROOT / "manifest.yml").read_text())
