"""A worker's WebSocket channels of Pelion in a thread of their own, as services.py runs them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from subscriber.channels.pelion import line
from subscriber.channels.runner import running
from subscriber.pelion.standing import Created, Standing, unheard
from subscriber.pelion.wanted import Book, Wanted
from subscriber.services import utc_now
from subscriber.settings import Settings
from subscriber.store import Row, RowFilter, Store
from tests.pelion.conftest import CELLAR


class Counted:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.losses: list[str] = []
        self.states: Callable[[], Mapping[tuple[str, str], int]] = dict

    def channel_frames(self, platform: str, outcome: str, count: int) -> None:
        self.frames[outcome] += count

    def channel_lost(self, platform: str, reason: str) -> None:
        self.losses.append(reason)

    def channel_gap(self, platform: str, reason: str) -> None:
        """Gaps are the standing's to tell."""

    def watch_channels(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self.states = counts

    @property
    def connected(self) -> int:
        return self.states().get(("pelion", "connected"), 0)


@contextmanager
def working(store: Store, environ: dict[str, str], created: Created = unheard) -> Iterator[Counted]:
    """Connections to all WebSocket channels of these settings, for a ``with`` block; then stopped in order."""
    settings = Settings.from_environ(environ).pelion
    assert settings is not None
    counted, stop = Counted(), threading.Event()
    book = Book(Standing(store, utc_now, created), store.registry)
    with running([line(Wanted(settings.channels, store.registry), book)], store, counted, utc_now, stop):
        yield counted


def rows(store: Store, **wanted: str) -> list[Row]:
    """All rows of the tenant ``cellar``, in the order of arrival."""
    found, cursor = [], ""
    while more := (tail := store.reports.after(RowFilter(tenant=CELLAR, **wanted), cursor, 1000)).rows:
        found += more
        cursor = tail.cursor
    return found
