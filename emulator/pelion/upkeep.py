"""What time does to channels, and how one ends.

An event is dropped 24 hours after it came in. A channel goes when no event came in for 48 hours, a WebSocket
channel when it had no socket for 24 hours, a long-poll channel when nobody polled for 10 minutes. (24 hours of
failing deliveries are the courier's.) With a channel goes all that waits in its queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from emulator.clock import Clock
from emulator.knobs import Panel
from emulator.pelion.channels import LONG_POLLING, WEB_SOCKET, Channel, Channels
from emulator.pelion.queue import Queue

LOG = logging.getLogger("emulator")


class Upkeep:
    """``on_removed`` is told the application of every channel that ends, and why."""

    def __init__(self, channels: Channels, queue: Queue, clock: Clock, panel: Panel) -> None:
        self._channels = channels
        self._queue = queue
        self._clock = clock
        self._panel = panel
        self.on_removed: Callable[[str, str], None] = lambda application, reason: None

    def remove(self, channel: Channel, reason: str) -> None:
        """The channel and its queue are no more; ``reason`` is a slug."""
        if not self._channels.alive(channel):
            return
        LOG.info("action=channel_removed application=%s reason=%s", channel.application, reason)
        self._channels.delete(channel)
        self._queue.drop(channel.application, reason)
        self.on_removed(channel.application, reason)

    def next_moment(self) -> float | None:
        """When something runs out next."""
        moments = [
            at for channel in self._channels.all() for at in (self._ends_at(channel)[0], self._ages_at(channel))
        ]
        return min((at for at in moments if at is not None), default=None)

    def play(self) -> None:
        """End what has run out."""
        now = self._clock.now()
        for channel in self._channels.all():
            at, reason = self._ends_at(channel)
            if at <= now:
                self.remove(channel, reason)
                continue
            oldest = self._queue.oldest(channel.application, channel.upto)
            life_s = self._panel.now.pelion_event_life_s
            if oldest is not None and oldest + life_s <= now:
                # not earlier than the one that is due: a rounded difference must not leave it for ever
                self._queue.expire(channel.application, max(oldest, now - life_s), channel.upto)

    def _ends_at(self, channel: Channel) -> tuple[float, str]:
        """When it goes if nothing happens, and why."""
        knobs = self._panel.now
        ends = [(channel.event_at + knobs.pelion_idle_s, "idle")]
        if channel.kind == WEB_SOCKET and not channel.connected:
            ends.append((channel.contact_at + knobs.pelion_disconnected_s, "disconnected"))
        if channel.kind == LONG_POLLING and not channel.connected:
            ends.append((channel.contact_at + knobs.pelion_poll_expiry_s, "not_polled"))
        return min(ends)

    def _ages_at(self, channel: Channel) -> float | None:
        oldest = self._queue.oldest(channel.application, channel.upto)
        return None if oldest is None else oldest + self._panel.now.pelion_event_life_s
