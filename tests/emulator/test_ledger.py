"""The books: nothing published is lost, and every number adds up."""

from __future__ import annotations

import json

import pytest

from emulator.journal import Journal
from emulator.ledger import Books, Delivery, Ledger, Message, State, Totals, canonical


@pytest.fixture
def ledger(journal: Journal) -> Ledger:
    for id in (1, 2):
        journal.db.execute(
            "INSERT INTO subscriptions VALUES (?, 'custaa', 'mdsp.core.x.v1.pubsub.y', 'app', ?, 'http://u', 1)",
            (id, f"v1.0.{id}"),
        )
    return Ledger(journal)


def publish(ledger: Ledger, count: int, *, subscription: int = 1, wake_at: float = 100.0) -> list[Delivery]:
    deliveries = []
    for _ in range(count):
        id, number = ledger.next_message_id(), ledger.next_delivery_id()
        message = Message(id, f"uuid-{id}", "mdsp.core.x.v1.pubsub.y", ("custaa",), 90.0, False, b'{"b":1, "a":2}')
        delivery = Delivery(number, id, subscription, wake_at, 2 * number, 500.0)
        ledger.add([message], [delivery])
        deliveries.append(delivery)
    return deliveries


def acknowledge(ledger: Ledger, delivery: Delivery) -> None:
    delivery.state, delivery.attempts, delivery.acknowledged = State.ACKNOWLEDGED, delivery.attempts + 1, 1
    ledger.record(delivery, was=State.PENDING, attempts=1)


def test_due_deliveries_come_by_time_then_rank_and_only_of_their_subscription(ledger: Ledger) -> None:
    first, second, third = publish(ledger, 3)
    late = publish(ledger, 1, wake_at=200.0)
    publish(ledger, 1, subscription=2)
    first.rank = 1000
    ledger.record(first, was=State.PENDING, attempts=0)
    assert [delivery.id for delivery in ledger.due(1, 100.0, 10)] == [second.id, third.id, first.id]
    assert ledger.due(1, 99.0, 10) == []
    assert ledger.next_wake(1) == 100.0
    assert ledger.waking() == [(1, 100.0), (2, 100.0)]
    for delivery in (first, second, third):
        acknowledge(ledger, delivery)
    assert ledger.next_wake(1) == late[0].wake_at
    assert ledger.next_wake(3) is None


def test_totals_are_the_same_after_a_restart(ledger: Ledger, journal: Journal) -> None:
    one, two, three, four, _ = publish(ledger, 5)
    acknowledge(ledger, one)
    two.state = State.EXPIRED
    ledger.record(two, was=State.PENDING, attempts=0)
    three.attempts = 2
    ledger.record(three, was=State.PENDING, attempts=2)
    publish(ledger, 2, subscription=2)
    assert ledger.drop(2) == 2
    ledger.flush()
    expected = {"published": 7, "attempts": 3, "acknowledged": 1, "expired": 1, "pending": 3, "dropped": 2}
    assert ledger.totals.as_json() == expected
    assert Ledger(journal).totals == ledger.totals
    assert Ledger(journal).next_delivery_id() == 8


def test_an_outcome_not_flushed_is_a_delivery_repeated_not_lost(ledger: Ledger, journal: Journal) -> None:
    """C18: what a kill takes is only the knowledge of an acknowledgement."""
    (delivery,) = publish(ledger, 1)
    acknowledge(ledger, delivery)
    assert ledger.dirty
    assert Ledger(journal).totals.pending() == 1


def test_items_name_each_message_and_page_through(ledger: Ledger) -> None:
    publish(ledger, 3)
    page = ledger.items(0, 2)
    assert [item["number"] for item in page] == [1, 2]
    assert [item["number"] for item in ledger.items(2, 2)] == [3]
    assert page[0]["id"] == "uuid-1" and page[0]["tenant"] == "custaa" and page[0]["state"] == "pending"
    assert page[0]["body_sha256"] != page[0]["content_sha256"]


def test_clearing_starts_from_zero(ledger: Ledger) -> None:
    publish(ledger, 2)
    ledger.clear()
    assert set(ledger.totals.as_json().values()) == {0}
    assert ledger.items(0, 10) == []


def test_canonical_content_ignores_spelling_only() -> None:
    assert canonical(b'{"b":1, "a":[2, 3]}') == canonical(b'{"a":[2,3],"b":1}')
    assert canonical(json.dumps({"a": 1}).encode()) != canonical(json.dumps({"a": 2}).encode())
    assert canonical(b"\xffnot json") == b"\xffnot json"


class Shelf:
    """A book of so many items."""

    def __init__(self, count: int) -> None:
        self.totals = Totals(published=count, acknowledged=1)
        self._count = count

    def items(self, after: int, limit: int) -> list[dict[str, object]]:
        return [{"number": number} for number in range(after + 1, self._count + 1)][:limit]


def test_several_books_are_read_as_one_and_summed() -> None:
    books = Books([Shelf(3), Shelf(0), Shelf(2)])
    assert (books.totals.published, books.totals.acknowledged, books.totals.pending()) == (5, 3, 2)
    found: list[int] = []
    while page := books.items(found[-1] if found else 0, 2):
        found += [int(str(item["number"])) for item in page]
    assert len(found) == 5 and found == sorted(set(found))
