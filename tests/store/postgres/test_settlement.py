"""Ending attempts, many by one statement. What an end means is in the contract."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from subscriber.model import Dead, Done, Retry
from subscriber.store import Store
from subscriber.store.cells import PARKED
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.settlement import Extension, Settlement, ending
from tests.store.making import START, lease_all, lease_one, notification, several
from tests.store.postgres.asking import ask


def test_each_is_told_whether_its_lease_was_held(database: Database, store: Store, url: str) -> None:
    store.inbox.add(several(4))
    first, second, third, fourth = lease_all(store)
    store.inbox.settle(second, Done())
    works = [
        ending(third, Done(), frozenset()),
        ending(second, Done(), frozenset()),
        Extension(fourth.seq, fourth.lease, 1000),
        ending(third, Dead("late"), frozenset()),
        ending(first, Dead("x"), frozenset()),
        Extension(first.seq, first.lease, 1000),
        Extension(third.seq, third.lease + 1, 1000),
    ]
    with database.service() as connection:
        assert Settlement(database).perform(connection, works) == [True, False, True, False, True, False, False]
    counted = "SELECT event, sum(count)::int FROM minutes WHERE event IN ('done', 'dead') GROUP BY 1 ORDER BY 1"
    assert ask(url, counted) == [("dead", 1), ("done", 2)]
    assert ask(url, "SELECT sum(count)::int FROM totals") == [(2,)]


def test_a_retry_in_a_time_without_end_is_one_in_the_far_future(store: Store) -> None:
    store.inbox.add([notification()])
    last = ending(lease_one(store), Retry(datetime.max.replace(tzinfo=UTC)), frozenset())
    assert last.not_before is not None and last.not_before < PARKED


def test_a_retry_without_its_time_is_no_end(store: Store) -> None:
    store.inbox.add([notification()])
    attempt = lease_one(store)
    with pytest.raises(ValueError, match="time"):
        ending(attempt, Retry(), frozenset())
    assert ending(attempt, Retry(START), frozenset()).event == "retry"
