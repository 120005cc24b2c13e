"""One consumer with its connected clients: who gets which message, and what is not acknowledged yet. No I/O.

"Notifications 2.0, overview": a consumer is a named cursor on a topic; an exclusive one admits one client, a shared
one several. Of a shared consumer every message goes to one client, chosen by its source, and all of a source go to
the same client; a client that comes or goes changes that only for the sources that must move. How sources are spread
is assumed: the highest hash of source and client name wins, so a client that comes back under its name gets its own.

The order of each source is kept across moves: while a client has frames of a source that are not acknowledged, the
source stays with it; when it leaves, they go to the next owner before anything newer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain

from emulator.cumulocity.backlog import Delivery


@dataclass(slots=True, eq=False)
class Client:
    """One WebSocket of a consumer. ``wake`` is told when there may be something to send, ``close`` why to end."""

    name: str
    wake: Callable[[], None] = lambda: None
    close: Callable[[str], None] = lambda reason: None
    queue: deque[Delivery] = field(default_factory=deque)  # may hold what moved on meanwhile: checked when taken
    unacked: dict[str, tuple[Delivery, float]] = field(default_factory=dict)  # by ack id: when it was sent
    sources: Counter[str] = field(default_factory=Counter)  # of ``unacked``

    def offer(self, delivery: Delivery) -> None:
        self.queue.append(delivery)
        self.wake()


@dataclass(slots=True, eq=False)
class Consumer:
    """``backlog`` is everything not acknowledged, by message id, in order."""

    id: int
    name: str
    shared: bool = False  # of the clients connected now
    backlog: dict[int, Delivery] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    held_until: float = 0.0  # emulator seconds; nothing is sent before (the fault n2-delay)
    unsettled: bool = False  # a source that must move is free by now: ``settle`` moves it
    _owners: dict[str, Client] = field(default_factory=dict)
    _moving: set[str] = field(default_factory=set)  # sources that go elsewhere once they are acknowledged

    def add(self, delivery: Delivery) -> None:
        """A new message."""
        self.backlog[delivery.message.id] = delivery
        if self.clients:
            self._owner(delivery.message.source).offer(delivery)

    def join(self, client: Client) -> None:
        self.clients.append(client)
        self._rebalance()

    def leave(self, client: Client) -> None:
        """What it had not acknowledged goes to others, or waits."""
        if client not in self.clients:
            return
        self.clients.remove(client)
        self._owners = {source: owner for source, owner in self._owners.items() if owner is not client}
        self._rebalance()

    def take(self, client: Client, window: int) -> Delivery | None:
        """What to send next; None while the window is full or nothing waits."""
        while client.queue and len(client.unacked) < window:
            delivery = client.queue.popleft()
            message = delivery.message
            stale = message.id not in self.backlog or message.ack in client.unacked
            if not stale and self._owners.get(message.source) is client:
                return delivery
        return None

    def sent(self, client: Client, delivery: Delivery, now: float) -> None:
        client.unacked[delivery.message.ack] = (delivery, now)
        client.sources[delivery.message.source] += 1

    def acknowledge(self, client: Client, ack: str) -> Delivery | None:
        """The delivery this ends; None for an id this client was not sent, or that ended otherwise."""
        delivery = self._forget(client, ack)
        if delivery is None or self.backlog.pop(delivery.message.id, None) is None:
            return None
        return delivery

    def oldest_sent(self) -> list[float]:
        """When each client's oldest frame without acknowledgement went out."""
        return [next(iter(client.unacked.values()))[1] for client in self.clients if client.unacked]

    def overdue(self, client: Client, sent_before: float) -> int:
        """Queue again, in order, what this client has not acknowledged for so long; how many that were."""
        late = [entry for entry, at in client.unacked.values() if at <= sent_before]
        for delivery in reversed(late):
            self._forget(client, delivery.message.ack)
            client.queue.appendleft(delivery)
        if late:
            client.wake()
        return len(late)

    def _forget(self, client: Client, ack: str) -> Delivery | None:
        entry = client.unacked.pop(ack, None)
        if entry is None:
            return None
        source = entry[0].message.source
        client.sources[source] -= 1
        if not client.sources[source]:
            del client.sources[source]
            self.unsettled |= source in self._moving
        return entry[0]

    # who owns which source

    def holds(self, client: Client) -> Iterator[Delivery]:
        """What is this client's to send or to acknowledge."""
        return (entry for entry in self.backlog.values() if self._owners.get(entry.message.source) is client)

    def shares(self) -> dict[str, list[str]]:
        """The sources that each connected client has been given so far, by its name."""
        given: dict[str, list[str]] = {client.name: [] for client in self.clients}
        for source, owner in self._owners.items():
            given[owner.name].append(source)
        return {name: sorted(sources) for name, sources in given.items()}

    def settle(self) -> None:
        """Move the sources that waited for their last acknowledgement."""
        self._rebalance()

    def _owner(self, source: str) -> Client:
        owner = self._owners.get(source)
        if owner is None:
            owner = self._owners[source] = chosen(source, self.clients)
        return owner

    def _rebalance(self) -> None:
        """Give every source to whom it belongs now, and its messages with it."""
        self._moving.clear()
        self.unsettled = False
        if not self.clients:
            self._owners.clear()
            return
        moved = set()
        for source in set(chain(self._owners, (entry.message.source for entry in self.backlog.values()))):
            owner, target = self._owners.get(source), chosen(source, self.clients)
            if owner is target:
                continue
            if owner is not None and owner.sources[source]:
                self._moving.add(source)
                continue
            self._owners[source] = target
            moved.add(source)
        for delivery in self.backlog.values():
            if delivery.message.source in moved:
                self._owners[delivery.message.source].offer(delivery)


def chosen(source: str, clients: list[Client]) -> Client:
    """The client whose name hashes highest together with the source."""
    if len(clients) == 1:
        return clients[0]
    return max(clients, key=lambda client: blake2b(f"{source}\0{client.name}".encode(), digest_size=8).digest())
