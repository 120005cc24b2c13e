"""The Messaging Service underneath Notification 2.0: messages in, deliveries out, what ends them.

"Notifications 2.0, overview" and "Messaging service": a topic is an ordered log that keeps what some consumer has not
acknowledged. A backlog may grow to a quota, and messages vanish at the end of their time to live. Without persistence
only connected clients get anything, and nothing comes twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emulator.clock import Clock
from emulator.cumulocity.backlog import Backlog, Delivery, Message
from emulator.cumulocity.consumers import Client, Consumer
from emulator.cumulocity.frames import ack_id, description, frame
from emulator.cumulocity.tokens import Grant
from emulator.cumulocity.topics import Topic, TopicKey, Topics
from emulator.faults import Chance, Faults
from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.ledger import State

FLUSH_S = 0.05  # what became of frames waits at most this long for its commit
LEDGERS_BEFORE = 63_000  # the engine's ledger numbers do not start at one; which is of no consequence


class QuotaReached(Exception):
    """The topic's backlog is full: the message was not kept."""


class UnknownConsumer(Exception):
    """There is no such topic or consumer, or no longer."""


class Occupied(Exception):
    """The consumer admits no such client now; the text says why."""


class Messaging:
    """``on_alarm`` is told whenever ``next_moment`` may be earlier."""

    def __init__(self, journal: Journal, clock: Clock, faults: Faults, chance: Chance, panel: Panel) -> None:
        self._journal = journal
        self._clock = clock
        self._faults = faults
        self._chance = chance
        self._panel = panel
        self.topics = Topics(journal)
        self.backlog = Backlog(journal)
        self.on_alarm: Callable[[], None] = lambda: None
        self._flush: asyncio.TimerHandle | None = None
        self._settling = False
        self._planned = False  # was there a next moment when it was last asked for?
        self._take_up()

    def _take_up(self) -> None:
        """What was pending when the emulator stopped."""
        topics = {topic.id: topic for topic in self.topics}
        consumers = {consumer.id: consumer for consumer in self.topics.consumers()}
        messages: dict[int, Message] = {}
        for row in self.backlog.pending():
            topic = topics[row.topic]
            if row.id not in messages:
                about = (row.api, row.source, row.action, row.body)
                messages[row.id] = self._message(topic, row.id, row.published_at, *about)
            delivery = Delivery(row.delivery, row.consumer, messages[row.id], attempts=row.attempts)
            if topic.key.volatile:
                self.backlog.ended(delivery, State.DROPPED)
            else:
                topic.hold(delivery.message)
                consumers[row.consumer].backlog[row.id] = delivery
        self.backlog.flush()

    # publishing

    def wanted(self, key: TopicKey) -> bool:
        """Would a message to this topic be kept for anybody?"""
        topic = self.topics.get(key)
        return topic is not None and bool(topic.consumers)

    def publish(self, key: TopicKey, api: str, source: str, action: str, body: bytes) -> int:
        """One message into a topic; the answer is for how many consumers. ``QuotaReached`` if it does not fit."""
        topic = self.topics.get(key)
        consumers = topic.consumers.values() if topic else ()
        by_id = {consumer.id: consumer for consumer in consumers if consumer.clients or not key.volatile}
        if topic is None or not by_id:
            return 0
        id = self.backlog.next_message_id()
        message = self._message(topic, id, self._clock.now(), api, source, action, body)
        if not key.volatile and topic.size + message.size > self._panel.now.n2_quota_bytes:
            raise QuotaReached
        if not self._planned:
            self.on_alarm()  # else what is planned comes before this message's end
        for delivery in self.backlog.add(message, by_id):
            topic.hold(message)
            self._delay(by_id[delivery.consumer], delivery)
            by_id[delivery.consumer].add(delivery)
        return len(by_id)

    def _message(
        self, topic: Topic, id: int, published_at: float, api: str, source: str, action: str, body: bytes
    ) -> Message:
        ack = ack_id(LEDGERS_BEFORE + topic.id, id)
        described = description(topic.key.tenant, api, source)
        whole = frame(ack, described, action, body, self._panel.now.n2_extra_header)
        return Message(id, topic.id, api, source, action, published_at, body, whole, ack)

    def _delay(self, consumer: Consumer, delivery: Delivery) -> None:
        if self._faults.strikes("n2-delay", delivery.id):
            pause = self._panel.now.delay_s * self._chance.draw("n2-delayed-by", delivery.id)
            consumer.held_until = max(consumer.held_until, self._clock.now() + pause)
            self.on_alarm()

    # clients

    def connect(self, grant: Grant, client: Client) -> tuple[Topic, Consumer]:
        """Admit a client, or ``Occupied``. It is offered everything not acknowledged."""
        topic, consumer = self.topics.make(grant)
        if consumer.clients and not (grant.shared and consumer.shared):
            raise Occupied("the consumer already has a client")
        if any(other.name == client.name for other in consumer.clients):
            raise Occupied("a client of that name is connected")
        consumer.shared = grant.shared
        consumer.join(client)
        return topic, consumer

    def disconnect(self, topic: Topic, consumer: Consumer, client: Client) -> None:
        """What it had not acknowledged waits for the next one; without persistence it is gone."""
        if topic.key.volatile:
            for delivery in list(consumer.holds(client)):
                self._end(topic, consumer, delivery, State.DROPPED)
        consumer.leave(client)

    def take(self, consumer: Consumer, client: Client) -> Delivery | None:
        """What this client is sent next; None if nothing may be sent now."""
        if consumer.held_until and consumer.held_until > self._clock.now():
            return None
        return consumer.take(client, self._panel.now.n2_window)

    def sent(self, consumer: Consumer, client: Client, delivery: Delivery) -> None:
        """The frame is on its way."""
        consumer.sent(client, delivery, self._clock.now())
        self.backlog.sent(delivery)
        self._flush_soon()
        if self._panel.now.n2_ack_timeout_s:
            self.on_alarm()

    def acknowledge(self, topic: Topic, consumer: Consumer, client: Client, ack: str) -> None:
        """Ids this client was not sent change nothing."""
        delivery = consumer.acknowledge(client, ack)
        if delivery is not None:
            self._ended(topic, delivery, State.ACKNOWLEDGED)
        if consumer.unsettled and not self._settling:
            # once for all acknowledgements that have arrived: settling reads the whole backlog
            self._settling = True
            asyncio.get_running_loop().call_soon(self._settle)
        client.wake()

    def _settle(self) -> None:
        self._settling = False
        for consumer in self.topics.consumers():
            if consumer.unsettled:
                consumer.settle()

    def unsubscribe(self, grant: Grant) -> None:
        """The consumer is no more: clients closed, backlog dropped. ``UnknownConsumer`` if there is none."""
        found = self.topics.find(grant)
        if found is None:
            raise UnknownConsumer
        topic, consumer = found
        with self._journal.transaction():
            for delivery in list(consumer.backlog.values()):
                self._end(topic, consumer, delivery, State.DROPPED)
            self.backlog.flush()
            self.topics.retire(topic, consumer)
        for client in list(consumer.clients):
            client.close("unsubscribed")

    # ends

    def _end(self, topic: Topic, consumer: Consumer, delivery: Delivery, state: State) -> None:
        del consumer.backlog[delivery.message.id]
        self._ended(topic, delivery, state)

    def _ended(self, topic: Topic, delivery: Delivery, state: State) -> None:
        topic.release(delivery.message)
        self.backlog.ended(delivery, state)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Commit what became of frames."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self.backlog.flush()

    # time

    def next_moment(self) -> float | None:
        """When something expires, is sent again or is no longer held back."""
        knobs = self._panel.now
        moments = [next(iter(t.log.values())).published_at + knobs.n2_ttl_s for t in self.topics if t.log]
        for consumer in self.topics.consumers():
            if consumer.held_until > self._clock.now():
                moments.append(consumer.held_until)
            if knobs.n2_ack_timeout_s:
                moments += [at + knobs.n2_ack_timeout_s for at in consumer.oldest_sent()]
        self._planned = bool(moments)
        return min(moments, default=None)

    def play(self) -> None:
        """Do what is due."""
        now, knobs = self._clock.now(), self._panel.now
        for topic in self.topics:
            self._expire(topic, now - knobs.n2_ttl_s)
        for consumer in self.topics.consumers():
            for client in consumer.clients:
                if knobs.n2_ack_timeout_s:
                    consumer.overdue(client, now - knobs.n2_ack_timeout_s)
                if consumer.held_until and consumer.held_until <= now:
                    client.wake()

    def _expire(self, topic: Topic, published_by: float) -> None:
        while topic.log and (oldest := next(iter(topic.log.values()))).published_at <= published_by:
            for consumer in topic.consumers.values():
                if oldest.id in consumer.backlog:
                    self._end(topic, consumer, consumer.backlog[oldest.id], State.EXPIRED)

    # starting over

    def close_all(self, reason: str) -> None:
        for consumer in self.topics.consumers():
            for client in list(consumer.clients):
                client.close(reason)

    def clear(self) -> None:
        """No topics, no consumers, no messages."""
        self.close_all("restart")
        for consumer in self.topics.consumers():
            consumer.backlog.clear()  # what its clients still acknowledge means nothing now
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self.backlog.clear()
        self.topics.clear()
