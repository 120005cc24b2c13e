"""Topics and their consumers, by name: what the Messaging Service knows between two messages.

"Messaging service": a topic is chosen by tenant, name and whether it is persistent, and made by its first consumer.
There is no way to delete one; a consumer goes by unsubscribing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from emulator.cumulocity.backlog import Message
from emulator.cumulocity.consumers import Consumer
from emulator.cumulocity.tokens import Grant
from emulator.journal import Journal

SCHEMA = """
CREATE TABLE IF NOT EXISTS n2_topics (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  volatile INTEGER NOT NULL,
  UNIQUE (tenant, namespace, name, volatile)
);
CREATE TABLE IF NOT EXISTS n2_consumers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, name TEXT NOT NULL, active INTEGER NOT NULL
)
"""


class TopicKey(NamedTuple):
    """What makes a topic one."""

    tenant: str
    namespace: str
    name: str
    volatile: bool

    @classmethod
    def of(cls, grant: Grant) -> TopicKey:
        return cls(grant.tenant, grant.namespace, grant.subscription, grant.volatile)


@dataclass(slots=True, eq=False)
class Topic:
    """``log`` is what some consumer has not acknowledged, by id, oldest first."""

    id: int
    key: TopicKey
    consumers: dict[str, Consumer] = field(default_factory=dict)
    log: dict[int, Message] = field(default_factory=dict)
    size: int = 0  # bytes of ``log``

    def hold(self, message: Message) -> None:
        """One more consumer has not acknowledged it."""
        if not message.holders:
            self.log[message.id] = message
            self.size += message.size
        message.holders += 1

    def release(self, message: Message) -> None:
        """One consumer is done with it; the last one frees it."""
        message.holders -= 1
        if not message.holders:
            del self.log[message.id]
            self.size -= message.size


class Topics:
    """In memory for use, in the state file for keeping."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(SCHEMA)
        self._load()

    def _load(self) -> None:
        self._topics: dict[TopicKey, Topic] = {}
        db = self._journal.db
        for id, tenant, namespace, name, volatile in db.execute(
            "SELECT id, tenant, namespace, name, volatile FROM n2_topics"
        ):
            key = TopicKey(tenant, namespace, name, bool(volatile))
            self._topics[key] = Topic(id, key)
        by_id = {topic.id: topic for topic in self._topics.values()}
        for id, topic, name in db.execute("SELECT id, topic, name FROM n2_consumers WHERE active"):
            by_id[topic].consumers[name] = Consumer(id, name)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def consumers(self) -> Iterator[Consumer]:
        return (consumer for topic in self for consumer in topic.consumers.values())

    def get(self, key: TopicKey) -> Topic | None:
        return self._topics.get(key)

    def find(self, grant: Grant) -> tuple[Topic, Consumer] | None:
        """The consumer a token names, with its topic."""
        topic = self.get(TopicKey.of(grant))
        consumer = topic.consumers.get(grant.subscriber) if topic else None
        return (topic, consumer) if topic and consumer else None

    def make(self, grant: Grant) -> tuple[Topic, Consumer]:
        """The same, made if need be."""
        key = TopicKey.of(grant)
        topic = self._topics.get(key) or self._new_topic(key)
        name = grant.subscriber
        if name not in topic.consumers:
            id = self._insert("INSERT INTO n2_consumers (topic, name, active) VALUES (?, ?, 1)", topic.id, name)
            topic.consumers[name] = Consumer(id, name)
        return topic, topic.consumers[name]

    def _new_topic(self, key: TopicKey) -> Topic:
        id = self._insert("INSERT INTO n2_topics (tenant, namespace, name, volatile) VALUES (?, ?, ?, ?)", *key)
        topic = self._topics[key] = Topic(id, key)
        return topic

    def _insert(self, statement: str, *values: object) -> int:
        id = self._journal.db.execute(statement, values).lastrowid
        assert id is not None
        return id

    def retire(self, topic: Topic, consumer: Consumer) -> None:
        """The consumer is no more; its row stays so that the ledger can name it."""
        del topic.consumers[consumer.name]
        self._journal.db.execute("UPDATE n2_consumers SET active = 0 WHERE id = ?", (consumer.id,))

    def clear(self) -> None:
        with self._journal.transaction() as db:
            db.execute("DELETE FROM n2_consumers")
            db.execute("DELETE FROM n2_topics")
        self._load()
