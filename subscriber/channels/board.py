"""What operators see of channels: each one's state, written to the store in batches, and counted for metrics.

Frames never pass here, only what changes seldom. What cannot be written now is written next time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from subscriber.channels import Place
from subscriber.errors import SubscriberError
from subscriber.store import ChannelRow, Registry

logger = logging.getLogger(__name__)

CONNECTING, CONNECTED, WAITING = "connecting", "connected", "waiting"  # of ``store.ChannelRow``
HALTED = "stopped"  # the same, and the reason of an error after which a person has to act
WRITE_SECONDS = 2.0  # a thousand channels that connect are some ten commits
SEEN_SECONDS = 60.0  # every channel is written at least so often: an older row's process is gone
BATCH_ROWS = 200  # "at most some hundred at once" (store.Registry)
STOPPED = "its worker has stopped"


class Board:
    """Belongs to one event loop; only ``counts`` may be asked from other threads."""

    def __init__(self, registry: Registry, now: Callable[[], datetime]) -> None:
        self._registry = registry
        self._now = now
        self._rows: dict[Place, ChannelRow] = {}
        self._changed: dict[Place, ChannelRow] = {}
        self._gone: dict[Place, ChannelRow] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def show(self, place: Place, state: str, detail: str = "") -> None:
        """A channel is in this state now; ``detail`` says why it is not connected."""
        before, now = self._rows.get(place), self._now()
        since = before.since if before and before.state == state else now
        row = ChannelRow(
            tenant=place.tenant,
            channel=place.channel,
            name=place.name,
            state=state,
            detail=detail,
            since=since,
            seen_at=now,
        )
        self._count(before, row)
        self._rows[place] = self._changed[place] = row
        self._gone.pop(place, None)

    def forget(self, place: Place) -> None:
        """There is no such channel any more."""
        row = self._rows.pop(place, None)
        self._changed.pop(place, None)
        if row is not None:
            self._count(row, None)
            self._gone[place] = row

    def leave(self, place: Place) -> None:
        """The channel goes on elsewhere: whoever runs it speaks of it from now on."""
        self._count(self._rows.pop(place, None), None)
        self._changed.pop(place, None)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many channels there are by platform and state."""
        return dict(self._counts)

    async def run(self) -> None:
        """Write what changed, again and again, and now and then everything."""
        written_at = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            if asyncio.get_running_loop().time() - written_at >= SEEN_SECONDS:
                written_at = asyncio.get_running_loop().time()
                self._changed = dict(self._rows)
            await self.write()

    async def write(self) -> None:
        """Write what changed. What fails is kept for the next time."""
        put, self._changed = self._changed, {}
        removed, self._gone = self._gone, {}
        try:
            for batch in _batches([replace(row, seen_at=self._now()) for row in put.values()]):
                await asyncio.to_thread(self._registry.put_channels, batch)
            for batch in _batches(list(removed.values())):
                await asyncio.to_thread(self._registry.remove_channels, batch)
        except SubscriberError as error:
            self._changed = {place: row for place, row in (put | self._changed).items() if place in self._rows}
            self._gone = {place: row for place, row in (removed | self._gone).items() if place not in self._rows}
            extra = {"action": "channels_unwritten", "reason": error.reason}
            logger.warning("the states of channels were not written", extra=extra)

    def _count(self, before: ChannelRow | None, after: ChannelRow | None) -> None:
        for row, change in ((before, -1), (after, 1)):
            if row is not None:
                self._counts[row.tenant.platform, row.state] += change


def _batches(rows: Sequence[ChannelRow]) -> list[Sequence[ChannelRow]]:
    return [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]
