"""`settings`, `serve` and `work`: what would run, and that it stops when told."""

from __future__ import annotations

import os
import signal
import threading

from subscriber.cli.service import CHILDREN, stopping
from tests.cli.conftest import Run

MINDSPHERE = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s3cret",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "1.4.2",
}


def test_every_setting_is_shown_with_its_origin_and_secrets_are_not(run: Run, environ: dict[str, str]) -> None:
    environ.update(MINDSPHERE, PORT="9000")
    result = run("settings", "--json")
    rows = {row["setting"]: row for row in result.objects}
    assert (rows["PORT"]["value"], rows["PORT"]["origin"]) == ("9000", "environment")
    assert rows["MDSP_HOST_TENANT"]["origin"] == "derived from MDSP_KEY_STORE_CLIENT_ID"
    assert rows["MDSP_KEY_STORE_CLIENT_SECRET"]["value"] == "********"
    assert "s3cret" not in result.out


def test_warnings_stand_beside_the_settings(run: Run, environ: dict[str, str]) -> None:
    environ.update(MINDSPHERE)
    assert run("settings").err.startswith("warning: MDSP_OS_VM_APP_VERSION is '1.4.2'")


def test_the_settings_fit_eighty_columns(run: Run, environ: dict[str, str]) -> None:
    environ.update(MINDSPHERE)
    assert all(len(line) <= 80 for line in run("settings").out.splitlines())


def test_a_service_is_not_started_on_a_schema_it_does_not_fit(run: Run) -> None:
    result = run("serve")
    assert (result.code, "migrate" in result.err) == (1, True)


def test_web_and_worker_are_the_children_of_serve() -> None:
    assert CHILDREN["web"][1:] == ("-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app")
    assert CHILDREN["worker"][1:] == ("-m", "subscriber", "work")


def test_a_signal_sets_the_stop_and_afterwards_means_what_it_meant() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Event()
    with stopping(stop, signal.SIGTERM):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
    assert signal.getsignal(signal.SIGTERM) is before
