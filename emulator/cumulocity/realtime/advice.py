"""Advice: how long a connect is held, how long to wait before the next one, and what to do at all. Pure.

Seed 003 and Bayeux: any of the three may be missing, and then stays as it was. It is told with the first connect,
when something has changed, and to whoever's session is not known.
"""

from __future__ import annotations

from typing import NamedTuple

RETRY, HANDSHAKE, NONE = POLICIES = ("retry", "handshake", "none")


class Advice(NamedTuple):
    """Milliseconds, and what to do next; None or empty: as before."""

    timeout: int | None = None
    interval: int | None = None
    reconnect: str = ""

    def over(self, other: Advice) -> Advice:
        """This, completed by the other."""
        return Advice(
            other.timeout if self.timeout is None else self.timeout,
            other.interval if self.interval is None else self.interval,
            self.reconnect or other.reconnect,
        )

    def news_to(self, told: Advice | None) -> Advice | None:
        """What to tell a client that knows ``told``; None if nothing changed."""
        if told is None:
            return self
        if self == told:
            return None
        return Advice(
            None if self.timeout == told.timeout else self.timeout,
            None if self.interval == told.interval else self.interval,
            self.reconnect,
        )

    def values(self) -> tuple[str, str, str]:
        """As columns of row 86."""
        timeout, interval = ("" if number is None else str(number) for number in (self.timeout, self.interval))
        return timeout, interval, self.reconnect

    def document(self) -> dict[str, object]:
        """As JSON."""
        members = {"reconnect": self.reconnect or None, "interval": self.interval, "timeout": self.timeout}
        return {name: value for name, value in members.items() if value is not None}


UNKNOWN_CLIENT = Advice(interval=0, reconnect=HANDSHAKE)
