"""What one conversation may have missed: from when, until when, why. Remembered with the rows, told once.

Pure: times are arguments, aware UTC datetimes. A possible gap begins with the last good answer: until then the server
had told everything, but for what was published while that answer was on its way. It ends when a lost session is
replaced, or with the answer that got lost; what happens in between makes it longer, not more. A gap that is over is
kept here until it has been told, so that no crash swallows it.

Where answers are not acknowledged, a crash is a possible gap too: an answer may have been on its way. So it is noted
before a poll goes out, and taken back when none is out any more, by ``safe``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from subscriber.model import from_millis, to_millis
from subscriber.platforms.smartrest.turns import ANSWER_LOST, SESSION_LOST, Turn

# What is remembered of the last good answer is cut to this, so that quiet polls are not a write each; after a crash a
# gap may be told to begin that much too early.
GRAIN_MILLIS = 30_000
ON_ITS_WAY = timedelta(seconds=5)  # longer than an answer needs from being made to its first byte here
MOST_UNTOLD = 16  # while the store does not take them; then they run together


@dataclass(frozen=True, slots=True)
class Loss:
    """What was published in this time may be missed. ``reason`` is a slug."""

    reason: str
    since: datetime
    until: datetime


class Coverage:
    """Of one conversation."""

    def __init__(self, value: bytes = b"") -> None:
        """Goes on from ``value``. Raises ``ValueError`` for a value that was not made here."""
        self.safe = True  # a crash now loses nothing
        self.untold: tuple[Loss, ...] = ()
        self._good_at: datetime | None = None
        self._open: Loss | None = None
        if value:
            self._read(value)

    @property
    def value(self) -> bytes:
        """What to keep; empty if there is nothing."""
        if self._good_at is None and not self.untold:
            return b""
        good = None if self._good_at is None else to_millis(self._good_at) // GRAIN_MILLIS * GRAIN_MILLIS
        document = {
            "good": good,
            "safe": self.safe,
            "open": None if self._open is None else _written(self._open),
            "untold": [_written(loss) for loss in self.untold],
        }
        return orjson.dumps(document)

    @property
    def open(self) -> bool:
        """Is there a gap that has not ended?"""
        return self._open is not None

    def resume(self, now: datetime, *, lost: bool) -> None:
        """The conversation goes on. ``lost``: no session covers us, though one may have before."""
        if lost:
            self._lose(SESSION_LOST, now)
        elif not self.safe:
            self._lose(ANSWER_LOST, now)

    def note(self, turn: Turn, now: datetime) -> None:
        """What a turn means for what may be missed."""
        if turn.gap:
            self._lose(turn.gap, now)
        elif turn.covered and turn.failure is None:
            self._end(now)
            self._good_at = now

    def told(self, loss: Loss) -> None:
        """This one is known where operators look."""
        self.untold = tuple(one for one in self.untold if one != loss)

    def _lose(self, reason: str, now: datetime) -> None:
        """A gap begins, or is longer than it was."""
        if self._good_at is None:
            return  # nothing was ever covered
        before = self._open or Loss(reason, self._good_at - ON_ITS_WAY, now)
        worst = SESSION_LOST if SESSION_LOST in (before.reason, reason) else reason
        self._open = Loss(worst, before.since, now)

    def _end(self, now: datetime) -> None:
        if self._open is None:
            return
        over = replace(self._open, until=now) if self._open.reason == SESSION_LOST else self._open
        if len(self.untold) >= MOST_UNTOLD:
            last = self.untold[-1]
            self.untold, over = self.untold[:-1], replace(over, since=min(last.since, over.since))
        self.untold, self._open = (*self.untold, over), None

    def _read(self, value: bytes) -> None:
        try:
            document = orjson.loads(value)
            self._good_at = None if document["good"] is None else from_millis(document["good"])
            self.safe = bool(document["safe"])
            self._open = None if document["open"] is None else _loss(document["open"])
            self.untold = tuple(_loss(one) for one in document["untold"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError("not what is remembered of a conversation's coverage") from error


def _written(loss: Loss) -> dict[str, Any]:
    return {"reason": loss.reason, "since": to_millis(loss.since), "until": to_millis(loss.until)}


def _loss(document: Mapping[str, Any]) -> Loss:
    return Loss(str(document["reason"]), from_millis(document["since"]), from_millis(document["until"]))
