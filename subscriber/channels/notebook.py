"""What a conversation of Cumulocity real-time remembers: its session, the count of its rows, what it may have missed.

Each is a fact of the channel. They are written in the transaction of the rows that they go with, never before and
never alone where there are rows: after a crash all of them are of the same moment. A gap that is over is written to
the store's gaps afterwards; what was written there before a crash is not written twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar

from subscriber.channels import Place
from subscriber.channels.admitter import Burst, Lane
from subscriber.channels.conversations import COVERAGE, RESTART, ROWS, SESSION, fact_name, place_of
from subscriber.channels.coverage import Coverage, Loss
from subscriber.channels.runner import Shared
from subscriber.errors import SubscriberError
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.platforms.smartrest.rows import Batch, Rows
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.turns import Turn
from subscriber.store import ChannelFact, Gap, Registry

logger = logging.getLogger(__name__)

Made = TypeVar("Made")

MANY_ROWS = 2_000  # of one answer: making notifications of more takes longer than other channels should wait
RECENT_GAPS = 1_000  # looked through after a crash: was it told already?


class Notebook:
    """Of one conversation, in one event loop. Made by ``open_notebook``."""

    def __init__(self, realtime: Realtime, facts: Mapping[str, bytes], shared: Shared, lane: Lane) -> None:
        """What of ``facts`` cannot be read is left: a session begins anew, and what the last one held is a gap."""
        self._place = place_of(realtime)
        self.session = self._read_fact(partial(Session, realtime), facts[SESSION])
        self._rows = self._read_fact(partial(Rows, realtime), facts[ROWS])
        self._coverage = self._read_fact(Coverage, facts[COVERAGE])
        self._written = dict(facts)
        self._shared = shared
        self._lane = lane

    async def begin(self) -> None:
        """Before a run: what may have been missed since the last one, in this process or in one before it."""
        self._coverage.resume(self._shared.now(), lost=not self.session.covered)
        self._coverage.safe = self.session.acknowledged
        for loss in await asyncio.to_thread(self._told_before) if self._coverage.untold else ():
            self._coverage.told(loss)
        await self._store(Batch([], []))

    async def keep(self, turn: Turn, answered_at: datetime) -> None:
        """Return when the turn is stored. Gaps that are over are told then, or after a later turn."""
        now = self._shared.now()
        self._coverage.note(turn, answered_at)
        self._coverage.safe = turn.failure is not None or self.session.acknowledged
        if len(turn.rows) > MANY_ROWS:
            batch = await asyncio.to_thread(self._read, turn, now)
        else:
            batch = self._read(turn, now)
        await self._store(batch)
        for loss in self._coverage.untold:
            await self._tell(loss)

    async def rest(self) -> None:
        """A planned stop, with nothing on its way."""
        self._coverage.safe = True
        await self._store(Batch([], []))

    async def asked_to_restart(self) -> bytes:
        """Changes whenever a person asks for it. Raises store errors."""
        tenant, channel, _ = self._place
        return await asyncio.to_thread(
            self._shared.store.registry.channel_fact, tenant, channel, fact_name(self._place, RESTART)
        )

    def _read(self, turn: Turn, now: datetime) -> Batch:
        return self._rows.read(turn.rows, turn.unreadable, numbered=self.session.numbered, received_at=now)

    async def _store(self, batch: Batch) -> None:
        values = {SESSION: self.session.value, ROWS: self._rows.value, COVERAGE: self._coverage.value}
        changed = {what: value for what, value in values.items() if value != self._written[what]}
        if not (changed or batch.notifications or batch.dead_letters):
            return
        stored = asyncio.Event()
        letters = batch.dead_letters
        burst = Burst(
            lane=self._lane,
            notifications=batch.notifications,
            dead_letters=letters,
            facts=[self._fact(what, value) for what, value in changed.items()],
            frames=len(batch.notifications) + len(letters),
            size=_size(batch),
            committed=stored.set,
        )
        self._shared.admitter.put(burst)
        await stored.wait()
        self._written |= changed

    def _read_fact(self, make: Callable[[bytes], Made], value: bytes) -> Made:
        try:
            return make(value)
        except ValueError as error:
            extra = {"action": "memory_unreadable", "tenant": str(self._place.tenant)}
            logger.error("channel %s begins anew: %s", self._place, error, extra=extra)
            return make(b"")

    def _fact(self, what: str, value: bytes) -> ChannelFact:
        tenant, channel, _ = self._place
        return ChannelFact(tenant, channel, fact_name(self._place, what), value)

    async def _tell(self, loss: Loss) -> None:
        try:
            await asyncio.to_thread(self._shared.store.registry.add_gap, self._gap(loss))
        except SubscriberError as error:
            extra = {"action": "gap_untold", "reason": error.reason}
            logger.warning("a gap waits for the store", extra=extra)
            return
        self._coverage.told(loss)
        self._shared.observer.channel_gap(self._place.tenant.platform, loss.reason)
        logger.warning(
            "channel %s may have missed what was published from %s to %s",
            self._place,
            loss.since.isoformat(),
            loss.until.isoformat(),
            extra={"action": "gap", "reason": loss.reason, "tenant": str(self._place.tenant)},
        )

    def _gap(self, loss: Loss) -> Gap:
        return Gap(
            tenant=self._place.tenant,
            platform=self._place.tenant.platform,
            channel=self._place.channel,
            lost_from=loss.since,
            lost_until=loss.until,
            reason=loss.reason,
            noticed_at=self._shared.now(),
        )

    def _told_before(self) -> list[Loss]:
        """Gaps of this channel that stand in the store already."""
        return [
            Loss(gap.reason, gap.lost_from, gap.lost_until)
            for gap in self._shared.store.registry.gaps(RECENT_GAPS)
            if (gap.tenant, gap.channel) == (self._place.tenant, self._place.channel)
        ]


def _size(batch: Batch) -> int:
    """Bytes of all bodies."""
    bodies = [one.body for one in batch.notifications] + [letter.body for letter in batch.dead_letters]
    return sum(len(body or b"") for body in bodies)


async def open_notebook(realtime: Realtime, shared: Shared, lane: Lane) -> Notebook:
    """Go on from what is stored. Raises store errors."""
    facts = await asyncio.to_thread(_read_facts, shared.store.registry, place_of(realtime))
    return Notebook(realtime, facts, shared, lane)


def _read_facts(registry: Registry, place: Place) -> dict[str, bytes]:
    tenant, channel, _ = place
    return {
        what: registry.channel_fact(tenant, channel, fact_name(place, what)) for what in (SESSION, ROWS, COVERAGE)
    }
