"""Topics and consumers by name."""

from __future__ import annotations

from dataclasses import replace

from emulator.cumulocity.backlog import Message
from emulator.cumulocity.tokens import Grant
from emulator.cumulocity.topics import TopicKey, Topics
from emulator.journal import Journal

GRANT = Grant("t1", "relnotif", "A", "reader", shared=False, volatile=False)


def test_tenant_name_and_persistence_make_a_topic_one(journal: Journal) -> None:
    """N2-1"""
    topics = Topics(journal)
    topic, consumer = topics.make(GRANT)
    assert topics.make(replace(GRANT, shared=True)) == (topic, consumer)
    other, _ = topics.make(replace(GRANT, subscriber="second"))
    assert other is topic and set(topic.consumers) == {"reader", "second"}
    for different in (replace(GRANT, volatile=True), replace(GRANT, tenant="t2"), replace(GRANT, namespace="mqtt")):
        assert topics.make(different)[0] is not topic


def test_topics_and_consumers_survive_a_restart_retired_ones_do_not(journal: Journal) -> None:
    """N2-5.17"""
    first = Topics(journal)
    topic, consumer = first.make(GRANT)
    first.make(replace(GRANT, subscriber="second"))
    first.retire(topic, consumer)
    again = Topics(journal)
    assert again.find(GRANT) is None and [entry.name for entry in again.consumers()] == ["second"]
    assert again.get(TopicKey.of(GRANT)) is not None
    again.clear()
    assert list(Topics(journal)) == []


def test_a_message_is_stored_once_and_freed_by_the_last_consumer(journal: Journal) -> None:
    """N2-5.16"""
    topic, _ = Topics(journal).make(GRANT)
    message = Message(1, topic.id, "alarms", "7", "CREATE", 0.0, b"{}", b"frame", "ack")
    topic.hold(message)
    topic.hold(message)
    assert topic.size == 5
    topic.release(message)
    assert topic.log
    topic.release(message)
    assert not topic.log and topic.size == 0
