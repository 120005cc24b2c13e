"""Events into queues: of one application, or of every application of an account.

An event for an application without a channel is gone: queues exist only from registration on.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from emulator.clock import Clock
from emulator.faults import Chance, Faults
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.pelion.channels import Channel, Channels
from emulator.pelion.events import Event
from emulator.pelion.queue import Entry, Queue
from emulator.pelion.registry import Registry
from emulator.pelion.serialization import Item


class Feed:
    """``wake`` is told which channel has something new."""

    def __init__(
        self,
        journal: Journal,
        registry: Registry,
        channels: Channels,
        queue: Queue,
        clock: Clock,
        faults: Faults,
        chance: Chance,
        panel: Panel,
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._channels = channels
        self._queue = queue
        self._clock = clock
        self._faults = faults
        self._chance = chance
        self._panel = panel
        self.wake: Callable[[Channel], None] = lambda channel: None

    def put(
        self,
        application: str,
        events: Sequence[Event],
        *,
        duplicate: float | None = None,
        reorder: float | None = None,
    ) -> int:
        """How many were queued; shares of them come twice, or fall back."""
        channel = self._channels.get(application)
        if channel is None or not events:
            return 0
        knobs, now = self._panel.now, self._clock.now()
        duplicate = knobs.duplicate_prob if duplicate is None else duplicate
        reorder = knobs.reorder_prob if reorder is None else reorder
        with self._journal.transaction():
            self._queue.add(application, [self._entry(event, now, duplicate, reorder) for event in events])
            self._queue.make_room(application, channel.queue_bytes, channel.upto)
            channel.event_at = now
            self._channels.keep(channel)
        self.wake(channel)
        return len(events)

    def _entry(self, event: Event, now: float, duplicate: float, reorder: float) -> Entry:
        uid = str(uuid.uuid4())
        item = Item(event.category, event.ep, event.name, event.core, uid, now)
        falls_back = self._chance.draw("falls-back", uid) < reorder or self._faults.strikes("reorder", uid)
        places = 1 + int(self._chance.draw("places", uid) * self._panel.now.reorder_places)
        return Entry(item, self._chance.draw("sent-twice", uid) < duplicate, places if falls_back else 0)

    def put_everywhere(self, account: str, events: Sequence[Event]) -> int:
        """A device's life reaches every channel of its account, without subscribing."""
        return sum(self.put(application.name, events) for application in self._registry.of_account(account))
