"""The ledger of real-time sessions."""

from __future__ import annotations

import asyncio

from emulator.cumulocity.realtime.book import Book, Notification
from emulator.journal import Journal
from emulator.ledger import State


def about(book: Book) -> Notification:
    return Notification(book.next_number(), "t1", "alarms", "208", "CREATE", 5.0)


async def filled(book: Book) -> None:
    deliveries = book.add(about(book), "s1", [("x", b'["100","a"]'), ("x", b'["101","b"]')])
    book.add(about(book), "s2", [("", b'{"channel":"/alarms/208"}')])
    book.written(deliveries)
    book.ended(deliveries[:1], State.ACKNOWLEDGED, "written")
    book.ended(deliveries[:1], State.DROPPED, "too late")


def test_what_became_of_each_row_is_told(journal: Journal) -> None:
    book = Book(journal)
    asyncio.run(filled(book))
    first, second, third = book.items(0, 10)
    assert (first["platform"], first["x_id"], first["content"]) == ("smartrest", "x", ["100", "a"])
    assert (first["state"], first["acknowledged"], first["attempts"], first["outcome"]) == (
        "acknowledged",
        1,
        1,
        "written",
    )
    assert (second["state"], second["attempts"], second["id"]) == ("pending", 1, first["id"])
    assert (third["platform"], third["session"], third["attempts"]) == ("bayeux", "s2", 0)
    assert [item["number"] for item in book.items(1, 1)] == [2]
    assert book.totals.as_json() == {
        "published": 3,
        "attempts": 2,
        "acknowledged": 1,
        "expired": 0,
        "pending": 2,
        "dropped": 0,
    }


def test_what_was_pending_is_lost_with_the_process(journal: Journal) -> None:
    book = Book(journal)
    asyncio.run(filled(book))
    book.flush()
    again = Book(journal)
    assert (again.totals.dropped, again.totals.pending(), again.totals.acknowledged) == (2, 0, 1)
    assert again.items(1, 10)[0]["outcome"] == "restart"
    again.clear()
    assert again.items(0, 10) == [] and again.totals.published == 0 and again.next_number() == 1
