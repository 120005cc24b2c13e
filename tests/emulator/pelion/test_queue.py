"""Queues: order, ways out, and a book that adds up."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from emulator.journal import Journal
from emulator.pelion.queue import EVENT_OVERHEAD, Entry, Queue
from emulator.pelion.serialization import Item, Serialization


def entries(*uids: str, at: float = 0.0, resend: bool = False, falls_back: int = 0) -> list[Entry]:
    items = [Item("reg-updates", "d1", "cellar-07", '{"ep":"d1"}', uid, at) for uid in uids]
    return [Entry(item, resend, falls_back) for item in items]


@pytest.fixture
def queue(journal: Journal) -> Queue:
    return Queue(journal)


def uids(queue: Queue, limit: int = 100) -> list[str]:
    return [item.uid for item in queue.head("cellar", limit)[0]]


def test_first_in_first_out_of_each_application(queue: Queue) -> None:
    queue.add("cellar", entries("a", "b", "c"))
    queue.add("gates", entries("x"))
    items, upto = queue.head("cellar", 2)
    assert [item.uid for item in items] == ["a", "b"]
    assert queue.up_to("cellar", upto) == (items, upto)
    queue.acknowledge("cellar", upto)
    assert uids(queue) == ["c"] and queue.waiting("cellar").events == 1


def test_some_fall_back_and_some_come_twice(queue: Queue) -> None:
    queue.add("cellar", [*entries("a", falls_back=2), *entries("b", resend=True), *entries("c", "d")])
    assert uids(queue) == ["b", "c", "a", "d"]
    queue.acknowledge("cellar", queue.head("cellar", 4)[1])
    assert uids(queue) == ["b"]
    queue.acknowledge("cellar", queue.head("cellar", 4)[1])
    assert uids(queue) == [] and queue.totals.acknowledged == 4
    assert [item["acknowledged"] for item in queue.items(0, 10)] == [1, 2, 1, 1]


def test_what_comes_while_a_batch_is_on_its_way_is_not_acknowledged_with_it(queue: Queue) -> None:
    queue.add("cellar", [*entries("a", falls_back=50), *entries("b")])
    items, upto = queue.head("cellar", 10)
    assert [item.uid for item in items] == ["b", "a"]
    queue.add("cellar", [*entries("c", "d"), *entries("e", falls_back=1), *entries("f")])
    assert queue.up_to("cellar", upto) == (items, upto)
    queue.acknowledge("cellar", upto)
    assert uids(queue) == ["c", "d", "f", "e"]


def test_of_two_that_fall_back_to_one_place_one_may_be_sent_without_the_other(queue: Queue) -> None:
    queue.add("cellar", [*entries("a", falls_back=2), *entries("b", falls_back=1)])
    items, upto = queue.head("cellar", 1)
    assert [item.uid for item in items] == ["a"]
    queue.acknowledge("cellar", upto)
    assert uids(queue) == ["b"]


def test_what_is_on_its_way_is_neither_expired_nor_dropped_for_room(queue: Queue) -> None:
    queue.add("cellar", entries("a", "b", at=10.0))
    queue.add("cellar", entries("c", at=20.0))
    _, upto = queue.head("cellar", 1)
    assert queue.oldest("cellar", None) == 10.0
    queue.expire("cellar", 10.0, upto)
    assert uids(queue) == ["a", "c"]
    queue.make_room("cellar", EVENT_OVERHEAD + 20, upto)
    assert uids(queue) == ["a"]
    queue.drop("cellar", "deleted")
    totals = queue.totals
    assert (totals.published, totals.expired, totals.dropped, totals.pending()) == (3, 1, 2, 0)
    assert queue.waiting("cellar").bytes == 0


def test_the_book_survives_and_names_bodies_as_they_were_sent(journal: Journal, queue: Queue) -> None:
    queue.add("cellar", entries("a", "b", at=1.5))
    _, upto = queue.head("cellar", 1)
    queue.tried("cellar", upto, Serialization(include_uid=True, include_timestamp=True), "503")
    again = Queue(journal)
    assert again.totals == queue.totals and again.waiting("cellar") == queue.waiting("cellar")
    first, second = again.items(0, 10)
    assert (first["number"], first["attempts"], first["outcome"]) == (1, 1, "503")
    sent = b'{"ep":"d1","uid":"a","timestamp":1500}'
    assert first["body_sha256"] == sha256(sent).hexdigest()
    assert (
        first["content_sha256"]
        == sha256(json.dumps(json.loads(sent), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    )
    assert (second["attempts"], second["topic"], second["tenant"]) == (0, "reg-updates", "cellar")
    assert again.items(1, 10) == [second]
