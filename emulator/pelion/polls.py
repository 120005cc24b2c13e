"""The long-poll channel, obsolete and for experiments only: ``GET`` and ``DELETE /v2/notification/pull``.

A poll makes the channel if there is none, waits about 30 s for events and answers 204 without any; a second poll at
the same time gets 409. After a deletion polls may meet 410 for a while (``EMU_PELION_PURGE_S``). The DELETE is never
answered 404: a vendor's client makes it before it registers a callback, and would not go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from emulator.clock import Clock
from emulator.knobs import Panel
from emulator.pelion.channels import LONG_POLLING, Channel, Channels
from emulator.pelion.errors import Refusal
from emulator.pelion.outbox import Outbox
from emulator.pelion.registry import Registry
from emulator.pelion.upkeep import Upkeep


@dataclass(slots=True)
class Poll:
    """One that waits."""

    until: float  # emulator seconds
    stirred: asyncio.Event = field(default_factory=asyncio.Event)


class Polls:
    """At most one waits per channel. ``on_alarm`` is told when ``next_moment`` may be earlier."""

    def __init__(
        self, registry: Registry, channels: Channels, outbox: Outbox, upkeep: Upkeep, clock: Clock, panel: Panel
    ) -> None:
        self._registry = registry
        self._channels = channels
        self._outbox = outbox
        self._upkeep = upkeep
        self._clock = clock
        self._panel = panel
        self._waiting: dict[str, Poll] = {}
        self._purged_at: dict[str, float] = {}
        self.on_alarm: Callable[[], None] = lambda: None

    async def pull(self, request: web.Request) -> web.Response:
        channel = self._channel(self._registry.caller(request).application.name)
        poll = Poll(self._clock.now() + self._panel.now.pelion_poll_hold_s)
        self._waiting[channel.application] = poll
        channel.connected = True
        self.on_alarm()
        try:
            if request.query.get("noWait") != "true":
                await self._events(channel, poll)
            return self._answer(channel, request)
        finally:
            del self._waiting[channel.application]
            channel.connected, channel.contact_at = False, self._clock.now()
            self._channels.keep(channel)
            self.on_alarm()

    def _channel(self, application: str) -> Channel:
        channel = self._channels.get(application)
        if channel is not None and channel.kind != LONG_POLLING:
            raise Refusal(400, f"the application has a channel of the type {channel.kind}")
        if application in self._waiting:
            raise Refusal(409, "another poll is waiting")
        if self._purged_at.get(application, 0) > self._clock.now():
            raise Refusal(410, "the channel is being deleted", word="CHANNEL_DELETED")
        return channel or self._channels.create(application, LONG_POLLING, self._clock.now())

    async def _events(self, channel: Channel, poll: Poll) -> None:
        """Until something waits, the time is over or the channel is gone."""
        while self._channels.alive(channel) and not self._outbox.waiting(channel):
            if self._clock.now() >= poll.until:
                return
            poll.stirred.clear()
            await poll.stirred.wait()

    def _answer(self, channel: Channel, request: web.Request) -> web.Response:
        """What waits, off the queue with it; 204 if nothing does or the client has gone."""
        if not self._channels.alive(channel):
            raise Refusal(410, "the channel was deleted", word="CHANNEL_DELETED")
        batch = self._outbox.take(channel) if request.transport is not None else None
        if batch is None:
            return web.Response(status=204)
        self._outbox.tried(channel, batch, "200")
        self._outbox.acknowledged(channel, batch)
        return web.Response(text=batch.text, content_type="application/json")

    async def delete(self, request: web.Request) -> web.Response:
        application = self._registry.caller(request).application.name
        channel = self._channels.get(application)
        if channel is None or channel.kind != LONG_POLLING:
            return web.Response(text="ALREADY_DELETED")
        self._purged_at[application] = self._clock.now() + self._panel.now.pelion_purge_s
        self._upkeep.remove(channel, "deleted")
        return web.Response(text="REMOVED")

    # the clock

    def stir(self, application: str) -> None:
        """Something came in for this application, or its channel is gone."""
        poll = self._waiting.get(application)
        if poll is not None:
            poll.stirred.set()

    def turn(self) -> None:
        """Answer the polls whose time is over."""
        now = self._clock.now()
        for poll in self._waiting.values():
            if poll.until <= now:
                poll.stirred.set()

    def next_moment(self) -> float | None:
        return min((poll.until for poll in self._waiting.values()), default=None)

    def stop(self) -> None:
        """Answer all of them."""
        for poll in self._waiting.values():
            poll.until = 0
            poll.stirred.set()
