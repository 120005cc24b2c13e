"""Conversations in a thread of their own, with small times; and conversations to hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from subscriber.channels.admitter import Admitter
from subscriber.channels.board import Board
from subscriber.channels.conversations import Conversation
from subscriber.channels.keeper import Keeper
from subscriber.channels.outbound import Outbound
from subscriber.channels.ownership import Ownership
from subscriber.channels.pulse import Pulse
from subscriber.channels.realtime import Patience, RealtimeChannel, as_asked
from subscriber.channels.runner import Shared
from subscriber.model import SMARTREST, Tenant
from subscriber.platforms.cumulocity_api import ServiceUser
from subscriber.platforms.smartrest.realtime import Channel, Realtime, Template
from subscriber.services import utc_now
from subscriber.store import Gap, Row, RowFilter, Store
from tests.channels.small_realtime import PASSWORD, PATH, TENANT, USER, X_ID
from tests.channels.working import Counted
from tests.emulator.running import wait_for

DEADLINE_S = 20.0
LOOK_SECONDS = 0.05
RESTART = Template(
    x_id=X_ID, id="500", columns=("id", "device"), paths=("$.id", "$.deviceId"), source="device", key=("id",)
)
UNKEYED = Template(x_id=X_ID, id="501", columns=("text",), paths=("$.text",))


def conversation(
    url: str,
    *channels: str,
    x_id: str = X_ID,
    path: str = PATH,
    tenant: str = TENANT,
    user: str = USER,
    password: str = PASSWORD,
    templates: Sequence[Template] = (RESTART, UNKEYED),
) -> Conversation:
    made = tuple(Channel(name=name) for name in channels or ("/5010",))
    return Conversation(
        base_url=url,
        user=ServiceUser(tenant=tenant, name=user, password=password),
        realtime=Realtime(tenant=tenant, path=path, x_id=x_id, channels=made, templates=tuple(templates)),
    )


class Talking:
    """A worker's channels for what ``wanted`` holds; the test may change that at any time."""

    def __init__(
        self,
        store: Store,
        wanted: Sequence[Conversation],
        *,
        patience: Patience = as_asked,
        refused: Callable[[Conversation], None] = lambda conversation: None,
    ) -> None:
        self.wanted = list(wanted)
        self.counted = Counted()
        self._store = store
        self._patience = patience
        self._refused = refused
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def stop(self) -> None:
        """In order."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> Talking:
        return self

    def __exit__(self, *args: object) -> None:
        if self._thread.is_alive():
            self.stop()

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        shared = Shared(
            store=self._store,
            admitter=Admitter(self._store.inbox, self.counted.channel_frames, retry_base_seconds=0.02),
            board=Board(self._store.registry, utc_now),
            outbound=Outbound(),
            pulse=Pulse(),
            observer=self.counted,
            now=utc_now,
        )
        self.counted.watch_channels(shared.board.counts)

        async def refused(conversation: Conversation) -> None:
            await asyncio.to_thread(self._refused, conversation)
            keeper.look_soon()

        keeper = Keeper(
            lambda: self.wanted,
            lambda conversation: RealtimeChannel(
                conversation, shared, refused, patience=self._patience, restart_look_seconds=LOOK_SECONDS
            ),
            Ownership(self._store.registry, SMARTREST),
            shared.board,
            self.counted,
            jitter=lambda: 0.0,
            look_seconds=LOOK_SECONDS,
        )
        helpers = [asyncio.create_task(part.run()) for part in (shared.admitter, shared.board)]
        keeping = asyncio.create_task(keeper.run())
        self._ready.set()
        await self._stopping.wait()
        for task in (keeping, *helpers):
            await _ended(task)
        await shared.outbound.close()

    def states(self) -> dict[str, int]:
        """How many channels are in each state."""
        return {state: count for (_, state), count in self.counted.states().items() if count}


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def rows(store: Store, tenant: str = TENANT) -> list[Row]:
    """What is stored of a tenant, in order of arrival."""
    found = store.reports.rows(RowFilter(tenant=Tenant(SMARTREST, tenant)), 10_000).rows
    return sorted(found, key=lambda row: row.seq)


def texts(store: Store, tenant: str = TENANT) -> list[str]:
    """The rows as they were sent."""
    return [",".join(row.notification.payload["row"]) for row in rows(store, tenant)]


def gaps(store: Store) -> list[Gap]:
    return store.registry.gaps(10_000)


__all__ = ["Talking", "conversation", "gaps", "rows", "texts", "wait_for"]
