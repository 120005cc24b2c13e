"""What the dispatcher's tests share: notifications with valid defaults, a clock to turn, a real store in a folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import migrations
from subscriber.errors import StoreUnavailable
from subscriber.model import Identity, Notification, Tenant
from subscriber.store import Inbox, Row, RowFilter, Store, open_store

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
_numbers = itertools.count(1)


class TurnableClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def notification(
    tenant: str = "custaa",
    topic: str = TOPIC,
    *,
    platform: str = "mindsphere",
    source: str = "",
    action: str = "",
    occurred_at: datetime | None = None,
    body: bytes | None = b'{"a": 1}',
) -> Notification:
    """One that is new to every store."""
    return Notification(
        tenant=Tenant(platform, tenant),
        key=next(_numbers).to_bytes(22, "big"),
        identity=Identity.TIMED,
        topic=topic,
        source=source,
        action=action,
        occurred_at=occurred_at,
        received_at=NOW,
        body=body,
    )


def open_new_store(folder: Path, clock: TurnableClock | None = None) -> Store:
    url = f"sqlite:///{folder / 'inbox.db'}"
    migrations.apply(url)
    return open_store(url, clock=clock)


def row_of(store: Store, wanted: Notification) -> Row:
    row = store.reports.row(wanted.tenant, wanted.key)
    assert row is not None
    return row


def rows_of(store: Store, wanted: RowFilter | None = None) -> Sequence[Row]:
    """The newest 500 rows."""
    return store.reports.rows(wanted or RowFilter(), 500).rows


class FaultyInbox:
    """A real inbox that refuses the named methods while a test wants it to."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.refused: set[str] = set()
        self.refusals = 0
        self.before: Callable[[str], None] = lambda name: None
        self.after: Callable[[str], None] = lambda name: None

    def __getattr__(self, name: str) -> Any:
        def call(*args: object, **kwargs: object) -> object:
            self.before(name)
            if name in self.refused:
                self.refusals += 1
                raise StoreUnavailable("as the test wants")
            result = getattr(self._inbox, name)(*args, **kwargs)
            self.after(name)
            return result

        return call
