"""The insert that is the deduplication."""

from __future__ import annotations

import pytest

from subscriber.model import Identity, Notification, Outcome
from subscriber.store.postgres.arrivals import Arrival, entries_of, insert
from subscriber.store.postgres.database import Database
from tests.store.making import ACME, fact, key, letter, notification
from tests.store.postgres.asking import ask


def inserted(database: Database, *items: Notification) -> list[bool]:
    with database.service() as connection:
        return insert(connection, 5, entries_of([Arrival(items, [])], {ACME: 1}))


def test_each_is_told_whether_it_was_new_and_of_equal_keys_the_first_is(database: Database) -> None:
    assert inserted(database, notification("b")) == [True]
    names = [notification(name) for name in "cbac"]
    assert inserted(database, *names) == [True, False, True, False]
    assert inserted(database) == []


def test_rows_are_numbered_as_they_arrived(database: Database, url: str) -> None:
    inserted(database, *(notification(name) for name in "zaym"))
    assert [found for (found,) in ask(url, "SELECT key FROM inbox ORDER BY seq")] == [key(name) for name in "zaym"]


def test_a_row_says_which_transaction_brought_it(database: Database, url: str) -> None:
    inserted(database, notification("a"), notification("b"))
    inserted(database, notification("c"))
    first, second, third = [xid for (xid,) in ask(url, "SELECT xid::text::bigint FROM inbox ORDER BY seq")]
    assert first == second < third


@pytest.mark.parametrize("identity", list(Identity))
def test_only_arrivals_that_carry_their_time_and_nothing_beside_are_plain(identity: Identity) -> None:
    items = [notification(), notification("other", identity=identity)]
    assert Arrival(items, []).plain is (identity is Identity.TIMED)
    assert Arrival([], [letter()]).plain is False
    assert Arrival([notification()], [], [fact()]).plain is False


def test_a_receipt_names_what_was_handed_in() -> None:
    (entry,) = entries_of([Arrival([notification()], [])], {})
    receipt = entry.receipt(Outcome.NEW)
    assert (receipt.tenant, receipt.key, receipt.outcome) == (ACME, key("one"), Outcome.NEW)
