"""Frames without a time of their own: a repeated delivery, or the same fact once more?

Pure: no I/O, no clock. A consumer's server sends again, in the old order and before anything newer, what it believes
unacknowledged when the connection is made anew. So right after that, a frame is a repetition if it comes next among
the last ones stored before; the first that does not ends the replay, and from then on every frame is a new fact,
equal to an earlier one or not (a value that goes from A to B and back to A are three facts).

Whoever stores frames keeps ``value`` in the very transaction that stores them: what a crash cuts off is then neither
stored nor remembered.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from hashlib import blake2b

from subscriber.platforms.content import content_digest, time_bytes

REMEMBERED = 1000  # the server's window: it never has more unacknowledged frames out (consumer protocol)
MARK_BYTES = 8  # of a frame's key; a collision would have to happen at the right place within one replay
SEQUENCE_BYTES = 8


class Replays:
    """The memory of one consumer. ``value`` empty: a new one."""

    def __init__(self, value: bytes = b"") -> None:
        """Raises ``ValueError`` for a value that was not made here."""
        marks = value[SEQUENCE_BYTES:]
        if value and (len(value) < SEQUENCE_BYTES or len(marks) % MARK_BYTES):
            raise ValueError("not the memory of a consumer")
        self._sequence = int.from_bytes(value[:SEQUENCE_BYTES], "big")
        cut = (marks[start : start + MARK_BYTES] for start in range(0, len(marks), MARK_BYTES))
        self._recent = deque(cut, maxlen=REMEMBERED)
        self._expected: deque[bytes] = deque()

    @property
    def value(self) -> bytes:
        """What to keep: at most some 8 kB."""
        return self._sequence.to_bytes(SEQUENCE_BYTES, "big") + b"".join(self._recent)

    def connected(self) -> None:
        """A connection was made: what comes first may have come before."""
        self._expected = deque(self._recent)

    def place(self, content_key: bytes, consumer: str, received_at: datetime) -> bytes | None:
        """The key of a new fact whose content has this key, None for one that has been stored before."""
        mark = blake2b(content_key, digest_size=MARK_BYTES).digest()
        if self._is_repetition(mark):
            return None
        self._sequence += 1
        self._recent.append(mark)
        return time_bytes(received_at) + content_digest(consumer, self._sequence, content_key.hex())

    def _is_repetition(self, mark: bytes) -> bool:
        while self._expected:
            if self._expected.popleft() == mark:  # those before it were acknowledged in time
                return True
        return False
