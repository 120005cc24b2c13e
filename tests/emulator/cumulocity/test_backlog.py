"""This platform's book: counted, committed, found again."""

from __future__ import annotations

from emulator.cumulocity.backlog import Backlog, Message
from emulator.cumulocity.tokens import Grant
from emulator.cumulocity.topics import Topics
from emulator.journal import Journal
from emulator.ledger import State

GRANT = Grant("t1", "relnotif", "A", "reader", shared=False, volatile=False)


def message(backlog: Backlog, topic: int) -> Message:
    id = backlog.next_message_id()
    return Message(id, topic, "alarms", "7", "CREATE", 5.0, b'{"id": "1"}', b"frame", "ack")


def test_a_message_counts_once_for_each_consumer(journal: Journal) -> None:
    topic, consumer = Topics(journal).make(GRANT)
    backlog = Backlog(journal)
    (delivery,) = backlog.add(message(backlog, topic.id), [consumer.id])
    backlog.sent(delivery)
    backlog.sent(delivery)
    backlog.ended(delivery, State.ACKNOWLEDGED)
    totals = backlog.totals.as_json()
    assert (totals["published"], totals["attempts"], totals["acknowledged"], totals["pending"]) == (1, 2, 1, 0)
    backlog.flush()
    assert Backlog(journal).totals.as_json() == totals


def test_what_was_pending_is_found_again_in_order(journal: Journal) -> None:
    topic, consumer = Topics(journal).make(GRANT)
    backlog = Backlog(journal)
    first, second, third = (backlog.add(message(backlog, topic.id), [consumer.id])[0] for _ in range(3))
    backlog.sent(third)
    backlog.ended(second, State.EXPIRED)
    assert backlog.dirty
    backlog.flush()
    again = Backlog(journal)
    assert [(row.delivery, row.attempts, row.body) for row in again.pending()] == [
        (first.id, 0, b'{"id": "1"}'),
        (third.id, 1, b'{"id": "1"}'),
    ]
    assert again.next_message_id() == 4


def test_items_name_everything_a_checker_asks_for(journal: Journal) -> None:
    topic, consumer = Topics(journal).make(GRANT)
    backlog = Backlog(journal)
    backlog.add(message(backlog, topic.id), [consumer.id])
    (item,) = backlog.items(0, 10)
    assert (item["platform"], item["tenant"], item["topic"], item["source"]) == ("cumulocity", "t1", "alarms", "7")
    assert (item["subscription"], item["subscriber"], item["state"]) == ("A", "reader", "pending")
    assert backlog.items(int(str(item["number"])), 10) == []
    backlog.clear()
    assert backlog.items(0, 10) == [] and not any(backlog.totals.as_json().values())
