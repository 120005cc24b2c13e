"""Which channels of a platform run here, and when a lost one is tried again.

It looks at what is wanted every few seconds: a channel that is new is started, one that is not wanted any more is
stopped, one whose credentials changed gets them for its next connection. Exclusive ones run in one instance only.
Each channel has a task of its own: it connects, reads until the connection ends, waits, connects again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic

from subscriber.channels import Channel, Desired, Observer, Place, SourceT
from subscriber.channels.board import CONNECTED, CONNECTING, HALTED, STOPPED, WAITING, Board
from subscriber.channels.delays import Delays
from subscriber.channels.ownership import Ownership
from subscriber.errors import PlatformUnavailable, SubscriberError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # a tenant that came is served within this; a quarter of the lock's time
SPREAD_SECONDS = 0.01  # for each channel that starts with others: 1,000 of them take 10 s
MOST_SPREAD_SECONDS = 30.0
LARGEST = 10_000  # channels of one platform in a process; each takes some 100 kB and a file


@dataclass(slots=True, eq=False)
class Kept(Generic[SourceT]):
    """A channel that runs."""

    place: Place
    wiring: Hashable
    channel: Channel[SourceT]
    delays: Delays
    connected_at: float | None = None  # loop's time; None while there is no connection
    stored: int = 0  # frames of its channel when the last connection ended
    reported: str = ""  # reason that was logged last; empty since it stood
    stopping: bool = False
    task: asyncio.Task[None] = field(init=False)


class Keeper(Generic[SourceT]):
    """Belongs to one event loop; ``run`` works until cancelled, and then stops all of its channels in order."""

    def __init__(
        self,
        desired: Desired[SourceT],
        make: Callable[[SourceT], Channel[SourceT]],
        ownership: Ownership,
        board: Board,
        observer: Observer,
        *,
        jitter: Callable[[], float] = random.random,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """``make`` makes a channel that is not connected yet; ``jitter`` yields numbers from 0 up to 1."""
        self._desired = desired
        self._make = make
        self._ownership = ownership
        self._board = board
        self._observer = observer
        self._jitter = jitter
        self._look_seconds = look_seconds
        self._kept: dict[Place, Kept[SourceT]] = {}
        self._sources: dict[Place, SourceT] = {}
        self._soon = asyncio.Event()
        self._ending = False

    def look_soon(self) -> None:
        """What is wanted may have changed, or credentials are old."""
        self._soon.set()

    async def run(self) -> None:
        try:
            while True:
                self._soon.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_seconds):
                        await self._soon.wait()
        finally:
            await self._stop_all()

    async def _stop_all(self) -> None:
        """The lock is given back last: whoever takes over finds connections closed and the last word written."""
        self._ending = True
        tasks = {kept.task for kept in self._kept.values()}
        for kept in self._kept.values():
            _stop(kept)
        if tasks:
            await asyncio.wait(tasks)
        await self._board.write()
        await asyncio.to_thread(self._ownership.release)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._desired)
        except SubscriberError as error:
            extra = {"action": "channels_unknown", "reason": error.reason}
            logger.warning("which channels there shall be is unknown: %s", error, extra=extra)
        else:
            self._sources = {source.place: source for source in list(found)[:LARGEST]}
            if len(found) > LARGEST:
                logger.error("%d channels are wanted", len(found), extra={"action": "channels_too_many"})
        self._settle(await self._ours())

    async def _ours(self) -> Mapping[Place, SourceT]:
        """What shall run here."""
        if not any(source.exclusive for source in self._sources.values()):
            return self._sources
        owner = await asyncio.to_thread(self._ownership.look)
        return {place: source for place, source in self._sources.items() if owner or not source.exclusive}

    def _settle(self, wanted: Mapping[Place, SourceT]) -> None:
        for place, kept in self._kept.items():
            source = wanted.get(place)
            if source is None or source.wiring != kept.wiring:
                _stop(kept)
            else:
                kept.channel.renew(source)
        new = [source for place, source in wanted.items() if place not in self._kept]
        spread = min(MOST_SPREAD_SECONDS, SPREAD_SECONDS * (len(new) - 1))
        for source in new:
            self._start(source, self._jitter() * spread)

    def _start(self, source: SourceT, delay: float) -> None:
        kept = Kept(source.place, source.wiring, self._make(source), Delays(self._jitter))
        self._kept[kept.place] = kept
        kept.task = asyncio.create_task(self._keep(kept, delay))
        kept.task.add_done_callback(lambda _: self._ended(kept))

    def _ended(self, kept: Kept[SourceT]) -> None:
        """Its task is over, for it was stopped."""
        del self._kept[kept.place]
        if self._ending:
            self._board.show(kept.place, WAITING, STOPPED)
        elif kept.place in self._sources:  # another instance's now; or, with another wiring, started by the next look
            self._board.leave(kept.place)
            self._soon.set()
        else:
            self._board.forget(kept.place)

    async def _keep(self, kept: Kept[SourceT], delay: float) -> None:
        self._board.show(kept.place, CONNECTING)
        while True:
            await asyncio.sleep(delay)
            kept.connected_at = None
            error = await self._run(kept)
            delay = kept.delays.after(error, *self._record(kept))
            self._lost(kept, error, delay)

    def _record(self, kept: Kept[SourceT]) -> tuple[float, bool]:
        """How many seconds the last connection stood, and whether frames were stored since the one before it."""
        now, before = asyncio.get_running_loop().time(), kept.stored
        kept.stored = kept.channel.stored
        return now - (kept.connected_at or now), kept.stored > before

    async def _run(self, kept: Kept[SourceT]) -> SubscriberError:
        """One connection, from its making to its end; why it ended."""
        try:
            await kept.channel.run(lambda: self._connected(kept))
        except SubscriberError as error:
            return error
        except Exception as error:  # the top of a task: one channel's bug must not end it unseen, nor the others
            logger.exception("a channel failed", extra={"action": "channel_failed", "tenant": str(kept.place.tenant)})
            return PlatformUnavailable(f"failed by {type(error).__name__}", reason="bug")
        return PlatformUnavailable("the connection ended", reason="closed")

    def _connected(self, kept: Kept[SourceT]) -> None:
        kept.connected_at, kept.reported = asyncio.get_running_loop().time(), ""
        self._board.show(kept.place, CONNECTED)
        logger.info("channel %s is connected", kept.place, extra={"action": "channel_connected"})

    def _lost(self, kept: Kept[SourceT], error: SubscriberError, delay: float) -> None:
        """Told once for each reason in a row: an outage is not worth a line for each attempt."""
        self._observer.channel_lost(kept.place.tenant.platform, error.reason)
        self._board.show(kept.place, HALTED if error.reason == HALTED else WAITING, str(error))
        level = logging.DEBUG if kept.reported == error.reason else logging.WARNING
        kept.reported = error.reason
        extra = {"action": "channel_lost", "reason": error.reason, "delay_seconds": round(delay, 1)}
        logger.log(level, "channel %s is not connected: %s", kept.place, error.detail, extra=extra)


def _stop(kept: Kept[SourceT]) -> None:
    """Once: a second cancellation would cut the orderly stop short."""
    if not kept.stopping:
        kept.stopping = True
        kept.task.cancel()
