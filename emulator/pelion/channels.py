"""Channels: one for each application at most, whatever its kind; what it remembers of deliveries that failed.

A channel keeps the limits that were in force when it was registered: turning the knobs plays a change of the
account's tier, which reaches a channel only when it is deleted and registered again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.pelion.serialization import Serialization

CALLBACK, WEB_SOCKET, LONG_POLLING = "CALLBACK", "WEB_SOCKET", "LONG_POLLING"
FIRST_DELAY_S = 1.0  # "Notification sending logic" of the API contract
SCHEMA = """
CREATE TABLE IF NOT EXISTS pelion_channels (
  application TEXT PRIMARY KEY, document TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(slots=True, kw_only=True)
class Channel:
    """Times are the emulator's seconds. Whoever changes one calls ``Channels.keep``."""

    application: str
    kind: str
    batch_items: int
    queue_bytes: int
    created_at: float
    visible_at: float  # until then a socket is told that there is no channel
    event_at: float  # when the latest event came in; at first the creation
    contact_at: float  # since when it has no socket, or the latest poll
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # they may hold a secret
    serialization: Serialization = field(default_factory=Serialization)
    upto: int | None = None  # rank of the last item of the batch on its way, or to be repeated
    again: bool = False  # the batch acknowledged last goes out once more
    attempts: int = 0  # of this batch
    delay_s: float = FIRST_DELAY_S  # before the next attempt, if this one fails
    retry_at: float | None = None
    failing_since: float | None = None
    connected: bool = False  # a socket is bound to it; never true in the state file

    @property
    def chunk(self) -> int:
        """Items in one batch at most."""
        return (
            min(self.batch_items, self.serialization.max_chunk_size) if self.serialization.asked else self.batch_items
        )


class Channels:
    """In memory for reading, in the state file for keeping."""

    def __init__(self, journal: Journal, panel: Panel, now: float) -> None:
        self._journal = journal
        self._panel = panel
        journal.extend(SCHEMA)
        self._channels: dict[str, Channel] = {}
        for (document,) in journal.db.execute("SELECT document FROM pelion_channels"):
            channel = _from_document(document)
            if channel.connected:  # its socket ended with the emulator
                channel.connected, channel.contact_at = False, now
            self._channels[channel.application] = channel

    def get(self, application: str) -> Channel | None:
        return self._channels.get(application)

    def of_kind(self, kind: str) -> Iterator[Channel]:
        return (channel for channel in list(self._channels.values()) if channel.kind == kind)

    def all(self) -> list[Channel]:
        return list(self._channels.values())

    def create(self, application: str, kind: str, now: float) -> Channel:
        """A channel with today's limits."""
        knobs = self._panel.now
        channel = Channel(
            application=application,
            kind=kind,
            batch_items=knobs.pelion_batch_items,
            queue_bytes=knobs.pelion_queue_bytes,
            created_at=now,
            visible_at=now + knobs.pelion_visible_after_s,
            event_at=now,
            contact_at=now,
        )
        self._channels[application] = channel
        self.keep(channel)
        return channel

    def keep(self, channel: Channel) -> None:
        """Nothing, if the channel was deleted meanwhile."""
        if self._channels.get(channel.application) is channel:
            self._journal.db.execute(
                "INSERT OR REPLACE INTO pelion_channels VALUES (?, ?)",
                (channel.application, json.dumps(asdict(channel))),
            )

    def alive(self, channel: Channel) -> bool:
        return self._channels.get(channel.application) is channel

    def delete(self, channel: Channel) -> None:
        self._journal.db.execute("DELETE FROM pelion_channels WHERE application = ?", (channel.application,))
        del self._channels[channel.application]

    def clear(self) -> None:
        self._journal.db.execute("DELETE FROM pelion_channels")
        self._channels.clear()


def _from_document(document: str) -> Channel:
    members = json.loads(document)
    return Channel(**{**members, "serialization": Serialization(**members["serialization"])})
