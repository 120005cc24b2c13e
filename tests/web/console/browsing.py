"""The console in a real browser: a server on loopback, Debian's chromium, and a window of some size.

The gateway's part is played by the browser itself, which sends the operator's token with every request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.signing import bearer
from tests.tools import require
from tests.vendors.node import install
from tests.web.console.world import HOST, World

AXE = Path(__file__).parent / "axe"
DEADLINE_MS = 20_000.0  # of whatever a page is waited for
# Landmarks, names, contrast and all else that WCAG 2.2 demands up to AA, and what is good practice beside it.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Window(NamedTuple):
    name: str
    width: int
    height: int
    scheme: str  # light or dark


DESKTOP = Window("desktop", 1280, 900, "light")
PHONE = Window("phone", 360, 780, "dark")


class Seen(NamedTuple):
    """A request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]


class Site:
    """A console's server. ``seen`` are the requests so far."""

    def __init__(self, world: World) -> None:
        self._app = world.app
        self.seen: list[Seen] = []
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/console/"

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        self.seen.append(Seen(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers))
        return self._app(environ, start_response)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Tests read ``seen``."""


@contextmanager
def serving(world: World) -> Iterator[Site]:
    site = Site(world)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's, whose sandbox does not work for root."""
    program = require("chromium", "chromium", "fonts-dejavu-core")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(browser: Browser, world: World, of: Window, tenant: str = HOST, *, scripts: bool = True) -> Iterator[Page]:
    """A page of an operator of ``tenant``."""
    context = browser.new_context(
        viewport={"width": of.width, "height": of.height},
        color_scheme="dark" if of.scheme == "dark" else "light",
        extra_http_headers={"Authorization": bearer(world.token(tenant))},
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    context.set_default_timeout(DEADLINE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def axe_script() -> str:
    """axe-core, as its package brings it."""
    install(AXE)
    return (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()


def violations(page: Page, script: str) -> list[str]:
    """What axe finds wrong with the page, one line each."""
    page.evaluate(script)
    found = page.evaluate("rules => axe.run({runOnly: rules, resultTypes: ['violations']})", RULES)
    return [
        f"{rule['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
