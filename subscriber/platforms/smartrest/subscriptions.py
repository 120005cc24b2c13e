"""The channels of a session: which it has, which it lacks, and how one refused channel is told from the others."""

from __future__ import annotations

from collections.abc import Sequence

from subscriber.platforms.smartrest import messages
from subscriber.platforms.smartrest.memory import Memory
from subscriber.platforms.smartrest.realtime import Channel
from subscriber.platforms.smartrest.records import Record

ROWS = 100  # in one request; a refusal is traced by asking again one by one


class Subscriptions:
    """What is still to be asked for in one session. What was granted stands in its memory."""

    def __init__(self, channels: Sequence[Channel], memory: Memory) -> None:
        self._wanted = {channel.name: channel.x_ids for channel in channels}
        self._memory = memory
        self._refused: set[str] = set()
        self._asked: list[Record] = []
        self._singly = (
            False  # a request with several rows was refused: which row it was, error rows do not say safely
        )

    @property
    def complete(self) -> bool:
        """Is there nothing more to ask?"""
        return not self._amendments()

    def ask(self) -> list[Record]:
        """The next rows 82 and 81."""
        self._asked = self._amendments()[: 1 if self._singly else ROWS]
        return self._asked

    def granted(self) -> None:
        """What was asked last is so."""
        for record in self._asked:
            self._note(record)

    def refused(self) -> str:
        """What was asked last was refused. The channel that this is known of, empty if it is one of several."""
        if len(self._asked) != 1:
            self._singly = True
            return ""
        (record,) = self._asked
        if record[0] == messages.UNSUBSCRIBE:  # whatever the server means, it was told
            self._note(record)
            return ""
        self._refused.add(record[2])
        return record[2]

    def _note(self, record: Record) -> None:
        id, _, name, *x_ids = record
        if id == messages.UNSUBSCRIBE:
            self._memory.subscribed.pop(name, None)
        else:
            self._memory.subscribed[name] = tuple(x_ids)

    def _amendments(self) -> list[Record]:
        held, client_id = self._memory.subscribed, self._memory.client_id
        surplus = [messages.unsubscribe(client_id, name) for name in held if name not in self._wanted]
        lacking = [
            messages.subscribe(client_id, name, x_ids)
            for name, x_ids in self._wanted.items()
            if held.get(name) != x_ids and name not in self._refused
        ]
        return surplus + lacking
