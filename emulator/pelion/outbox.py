"""From queue to wire: which items make the next batch, and what an outcome does to it.

A batch that failed is sent again unchanged, or (``EMU_PELION_RESEND``) cut anew, at another length and with what came
in meanwhile: the documents do not say which.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.clock import Clock
from emulator.knobs import Panel
from emulator.pelion.channels import FIRST_DELAY_S, Channel, Channels
from emulator.pelion.queue import Queue
from emulator.pelion.serialization import batch


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out: the NotificationMessage, how many items, and the rank of the last."""

    text: str
    items: int
    upto: int


class Outbox:
    """One for all channels; every change is in the state file when a method returns."""

    def __init__(self, channels: Channels, queue: Queue, clock: Clock, panel: Panel) -> None:
        self._channels = channels
        self._queue = queue
        self._clock = clock
        self._panel = panel

    def waiting(self, channel: Channel) -> bool:
        return self._queue.waiting(channel.application).events > 0

    def take(self, channel: Channel) -> Batch | None:
        """The batch to send now; it stays in the queue until ``acknowledged``. None if nothing waits."""
        knobs = self._panel.now
        if channel.upto is None or knobs.pelion_resend == "recut":
            limit = channel.chunk if channel.attempts % 2 == 0 else max(1, channel.chunk // 2)
            items, upto = self._queue.head(channel.application, limit)
        else:
            items, upto = self._queue.up_to(channel.application, channel.upto)
        channel.upto = upto if items else None
        if not items:
            return None
        self._channels.keep(channel)
        text = batch(items, channel.serialization, loose=knobs.pelion_loose_types, sparse=knobs.pelion_sparse_items)
        return Batch(text, len(items), upto)

    def tried(self, channel: Channel, sent: Batch, outcome: str) -> None:
        """One attempt more for each of its items."""
        self._queue.tried(channel.application, sent.upto, channel.serialization, outcome)
        channel.attempts += 1

    def acknowledged(self, channel: Channel, sent: Batch) -> None:
        """Off the queue; the next failure is a first one again."""
        self._queue.acknowledge(channel.application, sent.upto)
        self._start_over(channel)

    def put_back(self, channel: Channel) -> None:
        """The batch did not get out, and the next one may be another."""
        self._start_over(channel)

    def _start_over(self, channel: Channel) -> None:
        channel.upto, channel.again, channel.attempts = None, False, 0
        channel.delay_s, channel.retry_at, channel.failing_since = FIRST_DELAY_S, None, None
        self._channels.keep(channel)

    def failed(self, channel: Channel, since: float) -> bool:
        """Plan the next attempt; True if it has been failing for so long that the channel must go.

        ``since``: when this attempt began.
        """
        knobs, now = self._panel.now, self._clock.now()
        channel.failing_since = since if channel.failing_since is None else channel.failing_since
        channel.retry_at = now + channel.delay_s
        channel.delay_s = min(2 * channel.delay_s, knobs.pelion_retry_max_s)
        self._channels.keep(channel)
        return now - channel.failing_since >= knobs.pelion_failure_s
