"""Platforms are asked for their plans, and a page does not wait for those that keep silent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from subscriber.errors import PlatformUnavailable, SettingsError
from subscriber.web.console import planning
from subscriber.web.console.planning import Planning
from subscriber.web.console.plans import Plan
from tests.web.console.everywhere import CELLAR, Everywhere, failing
from tests.web.console.world import ACME, World

DEADLINE_S = 20.0
CHANNEL_PATH = "/v2/notification/channel"


class Silent:
    """Device Management: answers nothing before ``proceed``, then that nothing is there. ``asked``: so many calls."""

    def __init__(self) -> None:
        self.proceed = threading.Event()
        self.asked = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        silent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                silent.asked += 1
                silent.proceed.wait(DEADLINE_S)
                content = b"" if self.path == CHANNEL_PATH else b"[]"
                self.send_response(200 if content else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler

    def close(self) -> None:
        self.proceed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


@pytest.fixture
def cellar(everywhere: Everywhere, silent: Silent) -> Iterator[World]:
    """A console whose only other platform keeps silent."""
    channel = {"name": CELLAR.name, "api_key": "ak_1", "host": silent.url, "mode": "websocket"}
    with everywhere.console(PELION_CHANNELS=json.dumps([channel])) as world:
        yield world
        silent.proceed.set()
        until(lambda: not any(thread.name == "plan-pelion" for thread in threading.enumerate()))


def until(true: Callable[[], object]) -> None:
    by = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < by
        time.sleep(0.01)


def told(plans: Sequence[Plan]) -> dict[str, str]:
    return {plan.platform: plan.problem for plan in plans}


def test_what_is_remembered_is_there_without_asking(cellar: World, silent: Silent) -> None:
    assert told(cellar.desk.planning.remembered(None)) == {"mindsphere": "", "pelion": "unasked"}
    assert told(cellar.desk.planning.remembered([ACME])) == {"mindsphere": ""}
    assert (silent.asked, cellar.platform.calls) == (0, [])


def test_a_silent_platform_is_not_waited_for_and_its_plan_comes_later(
    cellar: World, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "WAIT_SECONDS", 0.05)
    for _ in range(2):
        assert told(cellar.desk.planning.asked(None)) == {"mindsphere": "", "pelion": "slow"}
    silent.proceed.set()
    until(lambda: told(cellar.desk.planning.asked(None))["pelion"] == "")
    (_, plan) = cellar.desk.planning.asked(None)
    assert (dict(plan.counts), plan.asked_at) == ({"created": 1}, cellar.clock())


def test_one_question_serves_all_who_ask_it(cellar: World, silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "WAIT_SECONDS", 0.05)
    cellar.desk.planning.asked(None)
    until(lambda: silent.asked)
    cellar.desk.planning.asked(None)
    assert silent.asked == 1


def test_a_plan_is_kept_for_moments_until_it_is_forgotten_or_old(cellar: World, silent: Silent) -> None:
    silent.proceed.set()
    now = [0.0]
    asking = Planning(cellar.settings, cellar.store, cellar.desk.open_registrars, cellar.clock, lambda: now[0])

    def asks() -> bool:
        before = silent.asked
        assert told(asking.asked(None))["pelion"] == ""
        return silent.asked > before

    assert asks() and not asks()
    asking.forget()
    assert asks() and not asks()
    now[0] = planning.KEPT_SECONDS + 1
    assert asks()


def test_no_more_questions_than_a_process_can_bear(
    cellar: World, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(planning, "QUESTIONS", 1)
    assert told(cellar.desk.planning.asked([CELLAR])) == {"pelion": "slow"}
    assert told(cellar.desk.planning.asked(None))["pelion"] == "busy"


def test_a_plan_that_is_only_kept_makes_room_for_a_question(
    cellar: World, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent.proceed.set()
    monkeypatch.setattr(planning, "QUESTIONS", 1)
    assert told(cellar.desk.planning.asked([CELLAR])) == {"pelion": ""}
    assert told(cellar.desk.planning.asked(None))["pelion"] == ""


def test_a_question_ends_though_the_platform_does_not_answer(
    cellar: World, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ASKING_SECONDS", 0.01)

    def answer_too_late() -> None:
        until(lambda: silent.asked and not any(isinstance(one, threading.Timer) for one in threading.enumerate()))
        silent.proceed.set()

    answering = threading.Thread(target=answer_too_late)
    answering.start()
    assert told(cellar.desk.planning.asked(None))["pelion"] == "slow"
    answering.join()


def test_a_platform_that_is_away_or_says_nothing_has_no_plan(everywhere: Everywhere) -> None:
    away = {**everywhere.environ(), "C8Y_BASEURL": "http://127.0.0.1:1"}
    with everywhere.console(**away) as world:
        found = {plan.platform: plan for plan in world.desk.planning.asked(None)}
    assert found["cumulocity"].problem == "silent" and "127.0.0.1:1" in found["cumulocity"].detail
    assert (found["smartrest"].problem, found["pelion"].problem) == ("unsure", "")


def test_a_plan_that_cannot_be_made_says_why(cellar: World, caplog: pytest.LogCaptureFixture) -> None:
    def asked(error: Exception) -> Plan:
        (plan,) = Planning(cellar.settings, cellar.store, failing(error), cellar.clock).asked([CELLAR])
        return plan

    assert asked(PlatformUnavailable("no tunnel")).problem == "silent"
    refused = asked(SettingsError(["PUBLIC_URL is not set"]))
    assert refused.problem == "refused" and "PUBLIC_URL" in refused.detail
    fault = asked(RuntimeError("the secret is 42"))
    assert (fault.problem, fault.detail) == ("fault", "")
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]
