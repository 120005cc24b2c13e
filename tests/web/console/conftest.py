"""One small console a test: ``world`` is empty, ``furnished`` has something of everything in it.

``registered`` has the same, and what it remembers of subscriptions fits the platform behind it; ``everywhere`` has
every platform, emulated, and nothing is subscribed there yet.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

import migrations
from subscriber.web.console import applying, planning
from tests.emulator.running import Emulator, running_emulator
from tests.web.console import world as making
from tests.web.console.everywhere import Everywhere
from tests.web.console.world import World

DEADLINE_S = 20.0


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty database, made once: migrating takes longer than most of these tests."""
    folder = tmp_path_factory.mktemp("blank")
    migrations.apply(making.database_url(folder))
    return folder


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages wait for what they started, also on a machine that is busy."""
    monkeypatch.setattr(planning, "WAIT_SECONDS", DEADLINE_S)
    monkeypatch.setattr(applying, "WAIT_SECONDS", DEADLINE_S)


@pytest.fixture
def world(tmp_path: Path, blank: Path, patient: None) -> Iterator[World]:
    shutil.copytree(blank, tmp_path, dirs_exist_ok=True)
    with making.world(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def furniture(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> tuple[Path, datetime]:
    """The folder of a database with something of everything, made once, and what time it is then."""
    folder = tmp_path_factory.mktemp("furniture")
    shutil.copytree(blank, folder, dirs_exist_ok=True)
    with making.world(folder) as made:
        making.furnish(made, minutes=2)
        return folder, made.clock()


@pytest.fixture
def furnished(tmp_path: Path, furniture: tuple[Path, datetime], patient: None) -> Iterator[World]:
    folder, now = furniture
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with making.world(tmp_path) as made:
        made.clock.now = now
        yield made


@pytest.fixture
def registered(world: World) -> World:
    making.furnish(world, minutes=1)
    return world


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def everywhere(emulator: Emulator, tmp_path: Path, blank: Path, patient: None) -> Everywhere:
    emulator.control("/reset", {})
    shutil.copytree(blank, tmp_path, dirs_exist_ok=True)
    return Everywhere(emulator, tmp_path)
