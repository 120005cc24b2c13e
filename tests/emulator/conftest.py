"""One emulator with a standing clock and one application serve all tests that talk over sockets; each test starts
from the seed world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.clock import Clock
from emulator.faults import Chance, Faults
from emulator.journal import Journal
from emulator.knobs import Knobs, Panel
from tests.emulator.running import Client, Emulator, Receiver, receiver, running_emulator


@dataclass
class World:
    """The emulated platform, the application behind its gateway, and that application's own client."""

    emulator: Emulator
    app: Receiver
    client: Client

    def turn(self, **knobs: object) -> None:
        """Turn knobs of the running emulator: ``turn(retention_s=10)``."""
        self.emulator.control("/knobs", {f"EMU_{name.upper()}": value for name, value in knobs.items()})

    def fault(self, name: str, **more: float) -> None:
        self.emulator.control("/fault", {"name": name, **more})

    def publish(self, **members: object) -> dict[str, int]:
        answer: dict[str, int] = self.emulator.control("/publish", members)
        return answer

    def advance(self, seconds: float) -> None:
        self.emulator.control("/clock", {"advance": seconds})

    def delivered(self) -> dict[str, int]:
        return self.emulator.wait_until_delivered()


@pytest.fixture(scope="session")
def shared_app() -> Iterator[Receiver]:
    with receiver() as app:
        yield app


@pytest.fixture(scope="session")
def shared_emulator(shared_app: Receiver) -> Iterator[Emulator]:
    with running_emulator("--app", shared_app.url, "--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture
def world(shared_emulator: Emulator, shared_app: Receiver) -> Iterator[World]:
    shared_emulator.control("/reset", {})
    shared_app.forget()
    client = Client(shared_emulator.credentials())
    yield World(shared_emulator, shared_app, client)
    client.close()


# for modules that need no sockets


class Wall:
    """The machine's time, in the test's hands."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def still(wall: Wall) -> Clock:
    """A clock that stands until advanced."""
    return Clock(0, wall=wall)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "state.db")
    yield journal
    journal.close()


@pytest.fixture
def panel() -> Panel:
    return Panel(Knobs())


@pytest.fixture
def chance() -> Chance:
    return Chance(7)


@pytest.fixture
def faults(journal: Journal, still: Clock, chance: Chance) -> Faults:
    return Faults(journal, still, chance)
