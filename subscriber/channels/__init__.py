"""Channels: long-lived connections on which platforms send to us, all of a worker in one event loop.

A frame is acknowledged on the connection it came from, after the commit that holds it, never before. Whatever ends a
connection, a crash included, costs a redelivery and nothing else. An orderly stop closes connections and keeps what
the platform keeps for us: leaving for good is `unregister`.

In reading order: consumers.py (what Cumulocity's channels are made from), cumulocity.py (one of them: token, socket,
frames), frames.py (what frames become), reader.py (frames in, acknowledgements out), sockets.py and pulse.py (a
WebSocket, and whether it is alive), outbound.py (how connections are made), admitter.py (all channels into few large
submissions), keeper.py (which channels run, and when they are tried again: delays.py), ownership.py (which instance
runs them), board.py (what operators see of them), runner.py (the thread of all this).

Cumulocity real-time over SmartREST polls instead: conversations.py (what its channels are made from), realtime.py
(one of them: turn after turn), exchange.py (a request, and its answer as it comes), notebook.py (what is remembered
with the rows), coverage.py (what may be missed), pace.py (no server makes us spin).

To add a platform: a source, a channel, and its line in services.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import NamedTuple, Protocol, TypeVar

from subscriber.model import Tenant


class Place(NamedTuple):
    """Which channel: what it delivers is remembered under this, so it stays the same over restarts."""

    tenant: Tenant
    channel: str
    name: str  # tells those apart that share a channel

    def __str__(self) -> str:
        return f"{self.tenant}/{self.channel}/{self.name}"


class Source(Protocol):
    """What a channel is made from. A value: equal ones make the same channel."""

    @property
    def place(self) -> Place: ...

    @property
    def wiring(self) -> Hashable:
        """All that an open connection depends on: it is made anew when this changes, but not for a new password."""

    @property
    def exclusive(self) -> bool:
        """May only one instance run it at a time?"""


SourceT = TypeVar("SourceT", bound=Source)
SourceT_contra = TypeVar("SourceT_contra", contravariant=True)


class Channel(Protocol[SourceT_contra]):
    """One place, for as long as it is wanted here."""

    @property
    def stored(self) -> int:
        """How many frames were stored so far."""

    async def run(self, connected: Callable[[], None]) -> None:
        """Connect, say so by ``connected``, and read until the connection ends.

        Ends by ``PlatformRefused``, ``PlatformUnavailable`` or a store error; the caller comes again later.
        Cancelled, it stops in order: nothing more is read, what is being stored is acknowledged, the connection is
        closed.
        """

    def renew(self, source: SourceT_contra) -> None:
        """The source has changed, its wiring has not: use this one when connecting next."""


Desired = Callable[[], Collection[SourceT]]
"""Which channels there shall be now, of all tenants. Called every few seconds, in a thread of its own.

Answers from memory: a worker that stops waits for it. Raises ``SubscriberError`` where that cannot be told: what runs
goes on.
"""


class Observer(Protocol):
    """Who counts; called in the event loop, so it must be quick."""

    def channel_frames(self, platform: str, outcome: str, count: int) -> None:
        """So many frames were stored and can be acknowledged: new, duplicate, dead_letter."""

    def channel_lost(self, platform: str, reason: str) -> None:
        """A connection ended, or could not be made."""

    def channel_gap(self, platform: str, reason: str) -> None:
        """What was published for a while may be missed; the store's gaps say from when to when."""

    def watch_channels(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """How many channels there are by platform and state can be asked for here, from any thread."""
