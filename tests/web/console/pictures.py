"""The pictures of the README, made by the tests' browser: ``python -m tests.web.console.pictures``.

Run it from the repository's root after a page has changed. What is shown is made up (``world.furnish``).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.web.console.browsing import DESKTOP, PHONE, Site, Window, chromium, serving, window
from tests.web.console.test_browser import inner_places
from tests.web.console.world import World, furnish, world

FOLDER = Path("docs/pictures")
MINUTES = 70  # of traffic: an hour's chart is full


def make(folder: Path) -> list[Path]:
    """Write every picture into ``folder`` and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as made:
        furnish(made, minutes=MINUTES)
        row, _ = inner_places(made)
        with serving(made) as site, chromium() as browser:
            return [
                _take(browser, made, site, DESKTOP, "", folder / "overview.png"),
                _take(browser, made, site, DESKTOP._replace(scheme="dark"), row, folder / "notification.png"),
                _take(browser, made, site, PHONE._replace(scheme="light"), "dead", folder / "dead.png"),
            ]


def _take(browser: Browser, made: World, site: Site, of: Window, place: str, file: Path) -> Path:
    with window(browser, made, of) as page:
        page.goto(site.url + place)
        page.screenshot(path=file, full_page=of.name == DESKTOP.name)
    return file


if __name__ == "__main__":
    for picture in make(FOLDER):
        print(f"{picture}: {picture.stat().st_size:,} bytes", file=sys.stderr)
