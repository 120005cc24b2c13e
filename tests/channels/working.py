"""A worker's channels in a thread of their own, with small times; and consumers to connect."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from subscriber.channels.admitter import Admitter
from subscriber.channels.board import Board
from subscriber.channels.consumers import Consumer
from subscriber.channels.cumulocity import CumulocityChannel
from subscriber.channels.keeper import Keeper
from subscriber.channels.outbound import Outbound
from subscriber.channels.ownership import Ownership
from subscriber.channels.pulse import Pulse
from subscriber.channels.runner import Shared
from subscriber.model import CUMULOCITY
from subscriber.platforms.cumulocity_api import Grant, ServiceUser
from subscriber.services import utc_now
from subscriber.store import Store
from tests.channels.small_cumulocity import PASSWORD, TENANT, USER

LOOK_SECONDS = 0.05
DEADLINE_S = 20.0


def consumer(
    url: str,
    subscription: str = "cold",
    subscriber: str = "worker",
    *,
    tenant: str = TENANT,
    password: str = PASSWORD,
    client: str = "",
    non_persistent: bool = False,
) -> Consumer:
    return Consumer(
        base_url=url,
        user=ServiceUser(tenant=tenant, name=USER, password=password),
        grant=Grant(
            subscription=subscription, subscriber=subscriber, shared=bool(client), non_persistent=non_persistent
        ),
        client=client,
    )


class Counted:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.losses: list[str] = []
        self.gaps: Counter[str] = Counter()
        self.states: Callable[[], Mapping[tuple[str, str], int]] = dict

    def channel_frames(self, platform: str, outcome: str, count: int) -> None:
        self.frames[outcome] += count

    def channel_lost(self, platform: str, reason: str) -> None:
        self.losses.append(reason)

    def channel_gap(self, platform: str, reason: str) -> None:
        self.gaps[reason] += 1

    def watch_channels(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self.states = counts


class Worker:
    """Channels for what ``wanted`` holds; the test may change that at any time."""

    def __init__(
        self,
        store: Store,
        wanted: Sequence[Consumer],
        *,
        pulse: tuple[float, float] = (40.0, 20.0),
        lock_seconds: float = 20.0,
        refused: Callable[[Consumer], None] = lambda consumer: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.wanted = list(wanted)
        self.counted = Counted()
        self._store = store
        self._pulse = pulse
        self._lock_seconds = lock_seconds
        self._refused = refused
        self._now = now
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def stop(self) -> None:
        """In order."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *args: object) -> None:
        if self._thread.is_alive():
            self.stop()

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        shared = Shared(
            store=self._store,
            admitter=Admitter(self._store.inbox, self.counted.channel_frames, retry_base_seconds=0.02),
            board=Board(self._store.registry, self._now),
            outbound=Outbound(),
            pulse=Pulse(*self._pulse),
            observer=self.counted,
            now=self._now,
        )
        self.counted.watch_channels(shared.board.counts)

        async def refused(consumer: Consumer) -> None:
            await asyncio.to_thread(self._refused, consumer)
            keeper.look_soon()

        keeper = Keeper(
            lambda: self.wanted,
            lambda consumer: CumulocityChannel(consumer, shared, refused),
            Ownership(self._store.registry, CUMULOCITY, lock_seconds=self._lock_seconds),
            shared.board,
            self.counted,
            jitter=lambda: 0.0,
            look_seconds=LOOK_SECONDS,
        )
        helpers = [asyncio.create_task(part.run()) for part in (shared.admitter, shared.board, shared.pulse)]
        keeping = asyncio.create_task(keeper.run())
        self._ready.set()
        await self._stopping.wait()
        for task in (keeping, *helpers):
            await _ended(task)
        await shared.outbound.close()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
