"""How a platform's line of channels is put together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from subscriber.channels import Place
from subscriber.channels.lines import Refused, kept, renewed
from subscriber.channels.runner import Line, Shared, running
from subscriber.errors import PlatformRefused
from subscriber.metrics import Metrics
from subscriber.model import Tenant
from subscriber.services import utc_now
from subscriber.store import Store

DEADLINE_S = 20.0


@dataclass(frozen=True)
class Door:
    """A source of the platform `tin` with a password."""

    password: str
    wiring: Hashable = 0
    exclusive: bool = False

    @property
    def place(self) -> Place:
        return Place(Tenant("tin", "acme"), "door", "")


class Guarded:
    """A channel that knows one password."""

    stored = 0

    def __init__(self, door: Door, opened: threading.Event, refused: Refused[Door] | None = None) -> None:
        self._door = door
        self._opened = opened
        self._refused = refused

    async def run(self, connected: Callable[[], None]) -> None:
        if self._door.password == "right":
            connected()
            self._opened.set()
        elif self._refused is not None:
            await self._refused(self._door)
        raise PlatformRefused("the door is shut", reason="shut")

    def renew(self, source: Door) -> None:
        self._door = source


def opens(line: Line, opened: threading.Event, store: Store) -> bool:
    with running([line], store, Metrics(), utc_now, threading.Event()):
        return opened.wait(DEADLINE_S)


def test_a_line_makes_a_channel_of_each_source(store: Store) -> None:
    opened = threading.Event()

    def make(door: Door, shared: Shared) -> Guarded:
        return Guarded(door, opened)

    assert opens(kept("tin", lambda: [Door("right")], make), opened, store)


def test_refused_credentials_are_told_in_a_thread_of_their_own_and_asked_for_anew(store: Store) -> None:
    opened, known, told = threading.Event(), ["old"], list[tuple[Door, str]]()

    def refused(door: Door) -> None:
        told.append((door, threading.current_thread().name))
        known[0] = "right"

    def make(door: Door, shared: Shared, renew: Refused[Door]) -> Guarded:
        return Guarded(door, opened, renew)

    assert opens(renewed("tin", lambda: [Door(known[0])], refused, make), opened, store)
    assert [door for door, _ in told] == [Door("old")]
    assert told[0][1] != "channels"
