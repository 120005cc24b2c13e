"""What the frames of one Cumulocity consumer become: notifications, dead letters, texts that acknowledge them.

No I/O. Frames without a time of their own are placed in the consumer's memory here, and the memory goes along with
the notifications (``platforms.replays``). What cannot be read is kept as a dead letter of the tenant, and
acknowledged: the platform would send it again for ever, before everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from subscriber.channels import Place
from subscriber.errors import MalformedDelivery
from subscriber.model import DETAIL_CHARS, DeadLetter, Notification
from subscriber.platforms.cumulocity import acknowledgement, decode
from subscriber.platforms.replays import Replays
from subscriber.store import ChannelFact

DIGEST_BYTES = 16  # as of every dead letter


class Reading(NamedTuple):
    """What came of some frames. ``acknowledgements`` holds one for each frame that has one, in order."""

    notifications: list[Notification]
    dead_letters: list[DeadLetter]
    facts: tuple[ChannelFact, ...]
    acknowledgements: list[bytes]
    repetitions: int = 0  # frames of which nothing is left: they were stored before


class Frames:
    """One consumer's frames, whatever the connection. ``memory`` is its fact, empty at first."""

    def __init__(self, place: Place, memory: bytes) -> None:
        self._place = place
        self._replays = Replays(memory)

    def connected(self) -> None:
        """A connection was made that begins with what was not acknowledged."""
        self._replays.connected()

    def read(self, frames: Sequence[bytes], received_at: datetime) -> Reading:
        """Frames in the order they came."""
        tenant, channel = self._place.tenant.name, self._place.channel
        reading = Reading([], [], (), [])
        remembered = False
        for frame in frames:
            if text := acknowledgement(frame):
                reading.acknowledgements.append(text)
            try:
                notification, untimed = decode(frame, tenant, channel, received_at)
            except MalformedDelivery as error:
                reading.dead_letters.append(self._letter(frame, error, received_at))
                continue
            if not untimed:
                reading.notifications.append(notification)
            elif key := self._replays.place(notification.key, str(self._place), received_at):
                reading.notifications.append(replace(notification, key=key))
                remembered = True
        repetitions = len(frames) - len(reading.notifications) - len(reading.dead_letters)
        return reading._replace(facts=(self._fact(),) if remembered else (), repetitions=repetitions)

    def _fact(self) -> ChannelFact:
        tenant, channel, name = self._place
        return ChannelFact(tenant, channel, name, self._replays.value)

    def _letter(self, frame: bytes, error: MalformedDelivery, received_at: datetime) -> DeadLetter:
        """The first line is left out of its identity: it changes with each delivery."""
        content = frame.partition(b"\n")[2]
        return DeadLetter(
            tenant=self._place.tenant,
            reason=error.reason,
            detail=error.detail[:DETAIL_CHARS],
            digest=blake2b(content, digest_size=DIGEST_BYTES).digest(),
            body=frame,
            buried_at=received_at,
        )
