"""From changes to sessions: whoever listens gets the notification, already formed by its templates.

"Real-time notification API" and seed 003: one copy for each session, however many of its channels fit; every response
template that matches makes a row, first those of the handshake's X-Id, then those of the subscription's; if none
matches the client gets nothing. What templates see on the realtime endpoints is assumed: action and data together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from emulator.clock import Clock
from emulator.cumulocity.changes import Change
from emulator.cumulocity.documents import Document
from emulator.cumulocity.inventory import Inventory
from emulator.cumulocity.realtime.book import Book, Notification
from emulator.cumulocity.realtime.channels import Telling, tellings
from emulator.cumulocity.realtime.sessions import Family, Group, Parcel, Session, Sessions
from emulator.cumulocity.realtime.template_store import TemplateStore
from emulator.knobs import Panel
from emulator.ledger import State

Wake = Callable[[Session], None]
Overflow = Callable[[Session], None]


class Publishing:
    """A listener of the feed. ``wake`` is told whose queue has something, ``overflow`` whose has too much."""

    def __init__(
        self,
        sessions: Sessions,
        templates: TemplateStore,
        inventory: Inventory,
        book: Book,
        clock: Clock,
        panel: Panel,
        wake: Wake,
        overflow: Overflow,
    ) -> None:
        self._sessions = sessions
        self._templates = templates
        self._inventory = inventory
        self._book = book
        self._clock = clock
        self._panel = panel
        self._wake = wake
        self._overflow = overflow

    def hear(self, change: Change) -> None:
        if not len(self._sessions):
            return
        about = None
        for telling in tellings(change, self._agents(change)):
            formed: dict[str, Group] = {}
            for session, x_ids in self._listeners(change.tenant, telling):
                about = about or self._notification(change)
                parcel = self._parcel(about, session, x_ids, telling, formed)
                if parcel is not None:
                    self._queue(session, parcel)

    def _agents(self, change: Change) -> list[str]:
        if not self._panel.now.sr_child_operations:
            return []
        return self._inventory.ancestors(change.tenant, change.source)

    def _notification(self, change: Change) -> Notification:
        number = self._book.next_number()
        return Notification(number, change.tenant, change.api, change.source, str(change.action), self._clock.now())

    def _listeners(self, tenant: str, telling: Telling) -> Iterator[tuple[Session, tuple[str, ...]]]:
        """Each session once, with its X-Ids in the order of their rows."""
        found: dict[str, tuple[Session, dict[str, None]]] = {}
        for channel in telling.channels:
            for session in self._sessions.at(tenant, telling.family, channel):
                _, x_ids = found.setdefault(session.id, (session, {session.x_id: None}))
                x_ids.update(dict.fromkeys(session.subscriptions[channel]))
        return ((session, tuple(x_ids)) for session, x_ids in found.values())

    def _parcel(
        self,
        about: Notification,
        session: Session,
        x_ids: tuple[str, ...],
        telling: Telling,
        formed: dict[str, Group],
    ) -> Parcel | None:
        if not session.x_id:
            message: Document = {"channel": telling.channels[0], "data": telling.data}
            return Parcel(self._book.add(about, session.id, [("", orjson.dumps(message))]), message=message)
        for x_id in x_ids:
            if x_id not in formed:
                formed[x_id] = self._group(session.tenant, x_id, telling)
        groups = tuple(formed[x_id] for x_id in x_ids if formed[x_id].rows)
        if not groups:
            return None
        contents = [(group.x_id, orjson.dumps(row)) for group in groups for row in group.rows]
        return Parcel(self._book.add(about, session.id, contents), groups, marked=len(x_ids) > 1)

    def _group(self, tenant: str, x_id: str, telling: Telling) -> Group:
        inner = telling.family is Family.REALTIME and self._panel.now.sr_template_root == "inner"
        found = self._templates.find(tenant, x_id)
        return Group(x_id, found.rows(telling.data["data"] if inner else telling.data) if found else ())

    def _queue(self, session: Session, parcel: Parcel) -> None:
        if len(session.queue) >= self._panel.now.sr_queue:
            self._book.ended(parcel.deliveries, State.DROPPED, "overflow")
            self._overflow(session)
            return
        session.queue.append(parcel)
        self._wake(session)
