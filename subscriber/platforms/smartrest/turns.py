"""What goes in and out of a session: a request to send, the answer as it arrives, what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from subscriber.errors import SubscriberError
from subscriber.platforms.smartrest.messages import Row
from subscriber.platforms.smartrest.records import Broken
from subscriber.platforms.smartrest.transitions import State

MAX_ANSWER_BYTES = 33_554_432  # more than five minutes at the 100 kB/s that long polling is meant for
MAX_ANSWER_LINES = 500_000  # read, each takes some hundred bytes more
LEADING = b" \t"  # heartbeats; the tab stands in the seed's sample. A value that begins so is quoted

SESSION_LOST = "session_lost"  # with what its server still held, and until the next one has its subscriptions
ANSWER_LOST = "answer_lost"  # sent once, and not here


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to post. The credentials are the sender's business."""

    state: State  # what it is for
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    wait_seconds: float  # before sending, as the server wishes
    silence_seconds: float  # without a byte for that long, the connection is lost


class Refused(NamedTuple):
    """A channel that the server does not give us. It is asked for again by the next handshake."""

    channel: str
    error: SubscriberError


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of one request."""

    state: State  # from now on
    rows: Sequence[Row]
    unreadable: Sequence[Broken]  # records that are no rows, to be kept as they are
    failure: SubscriberError | None = None  # why it is not as asked: wait before the next request, longer each time
    refused: Refused | None = None  # the others go on without it
    gap: str = ""  # slug: what was published since the last good answer may be missed
    covered: bool = False  # subscriptions hold: a gap that a lost session began ends here


class Answer:
    """The body of an answer while it arrives."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._lines = 0
        self.too_much = False  # more than any answer has; the rest is not taken

    @property
    def quiet(self) -> bool:
        """Has nothing but heartbeats come?"""
        return not self._body

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def receive(self, piece: bytes) -> bool:
        """Take a piece. False: it is too much."""
        if self.quiet:
            piece = piece.lstrip(LEADING)
        self._lines += piece.count(b"\n")
        self.too_much |= len(self._body) + len(piece) > MAX_ANSWER_BYTES or self._lines > MAX_ANSWER_LINES
        if not self.too_much:
            self._body += piece
        return not self.too_much
