"""What is kept of a session, so that a restart goes on with it instead of losing what the server holds for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from subscriber.platforms.smartrest.messages import BATCH_NUMBER, CLIENT_ID

MEMBERS = ("client_id", "subscribed", "acknowledged", "batch", "numbered", "covered", "lost")


@dataclass(slots=True)
class Memory:
    """One session as its server knows it. Without a client id there is none."""

    client_id: str = field(default="", repr=False)
    subscribed: dict[str, tuple[str, ...]] = field(default_factory=dict)  # channel → its further X-Ids
    acknowledged: bool = False  # the handshake asked the server to keep what it sends until we have it
    batch: str = ""  # the last of its numbered answers that we have; empty: none, or it numbers none
    numbered: bool = False  # rows carry line numbers
    covered: bool = False  # its subscriptions were made: the server keeps for us what is published
    lost: bool = False  # the session before this one, or before none, got lost: until ``covered`` there is a gap

    @classmethod
    def parse(cls, value: bytes) -> Memory:
        """Empty: no session. Raises ``ValueError`` for what was not made by :attr:`value`."""
        if not value:
            return cls()
        try:
            return _checked(orjson.loads(value))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError("not the memory of a SmartREST session") from error

    @property
    def value(self) -> bytes:
        """What to keep; empty if there is nothing."""
        if not self.client_id and not self.lost:
            return b""
        return orjson.dumps({member: getattr(self, member) for member in MEMBERS})


def _checked(document: Mapping[str, Any]) -> Memory:
    if not CLIENT_ID.fullmatch(document["client_id"] or "x") or not BATCH_NUMBER.fullmatch(document["batch"] or "0"):
        raise ValueError("no such session")
    return Memory(
        client_id=document["client_id"],
        subscribed={str(name): tuple(map(str, x_ids)) for name, x_ids in document["subscribed"].items()},
        acknowledged=bool(document["acknowledged"]),
        batch=document["batch"],
        numbered=bool(document["numbered"]),
        covered=bool(document["covered"]),
        lost=bool(document["lost"]),
    )
