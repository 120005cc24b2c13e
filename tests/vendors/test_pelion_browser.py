"""The HTML5 example of "Setting a notification channel" (WebSocket), run in a browser against the emulator.

Its handlers are the document's own; what its print has lost (closing braces, the text of the message) is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from tests.emulator.running import Emulator, running_emulator, wait_for
from tests.tools import require

EXAMPLE = """
([host, key]) => {
  window.said = [];
  const log = console.log;
  console.log = (...words) => { window.said.push(words.join(" ")); log(...words); };

  var socket = new WebSocket(host + "/v2/notification/websocket-connect", ["wss", "pelion_" + key]);

  socket.onopen = function(event) {
    console.log("WebSocket opened");
  }
  socket.onmessage = function(event) {
    console.log("Notification received: " + event.data);
  }
  socket.onerror = function(err) {
    console.log("Error occurred");
  }
  socket.onclose = function(event) {
    console.log("WebSocket closed");
    window.closed_with = [event.code, event.reason];
  }
  window.socket = socket;
}
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    path = require("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.fixture
def page(browser_page: Page, emulator: Emulator) -> Page:
    emulator.control("/reset", {})
    browser_page.goto(f"{emulator.url}/_control/ledger")  # a page of the same machine; which one does not matter
    return browser_page


def connect(page: Page, emulator: Emulator, key: str | None = None) -> None:
    known = emulator.control("/credentials")["pelion"]
    host = known["host"].replace("http", "ws", 1)
    page.evaluate(EXAMPLE, [host, key or known["channels"][0]["api_key"]])


def said(page: Page, text: str) -> None:
    page.wait_for_function("text => window.said.some(one => one.startsWith(text))", arg=text, timeout=20_000)


def register(emulator: Emulator) -> None:
    known = emulator.control("/credentials")["pelion"]
    headers = {"Authorization": f"Bearer {known['channels'][0]['api_key']}"}
    with requests.Session() as session:
        session.trust_env = False
        assert session.put(f"{known['host']}/v2/notification/websocket", headers=headers).status_code == 201


def test_it_opens_gets_notifications_answers_pings_and_is_closed(page: Page, emulator: Emulator) -> None:
    register(emulator)
    emulator.control("/publish", {"tenant": "pelion/cellar", "count": 3})
    connect(page, emulator)
    said(page, "WebSocket opened")
    said(page, 'Notification received: {"notifications":')
    assert page.evaluate("window.socket.protocol") == "wss"
    emulator.control("/pelion/ping", {"tenant": "cellar"})
    emulator.control("/clock", {"advance": 60})  # the browser answers pings by itself
    channels = {one["name"]: one for one in emulator.control("/pelion/channels")["channels"]}
    assert channels["cellar"]["connected"] is True
    emulator.control("/pelion/close", {"tenant": "cellar", "code": 1012, "message": "maintenance"})
    said(page, "WebSocket closed")
    assert page.evaluate("window.closed_with") == [1012, "maintenance"]


def test_without_a_channel_it_opens_and_is_closed_at_once(page: Page, emulator: Emulator) -> None:
    connect(page, emulator)
    said(page, "WebSocket closed")
    assert page.evaluate("window.closed_with")[0] == 1011


def test_a_wrong_key_is_an_error(page: Page, emulator: Emulator) -> None:
    register(emulator)
    connect(page, emulator, "ak_1wrong")
    said(page, "Error occurred")


def test_its_close_ends_the_channel_too(page: Page, emulator: Emulator) -> None:
    register(emulator)
    connect(page, emulator)
    said(page, "WebSocket opened")
    page.evaluate("window.socket.close()")
    said(page, "WebSocket closed")
    wait_for(lambda: not emulator.control("/pelion/channels")["channels"])
