"""The short way and the long way in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.model import Notification, Outcome, Receipt, to_millis
from subscriber.store.sqlite.admission import LARGE_STATEMENTS, WARY_BATCHES, Admission, Arrival, Work
from subscriber.store.sqlite.driver import Connection, open_writer
from subscriber.store.sqlite.transaction import LARGEST_STATEMENT_ROWS, Transaction
from tests.store.making import ACME, OTHER, START, fact, letter, notification, several

NOW = to_millis(START)


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        yield connection


@pytest.fixture
def admission(connection: Connection) -> Admission:
    """One that knows ACME."""
    admission = Admission()
    with connection:
        admission.perform(Transaction(connection, NOW), [arrival(notification("first"))])
    return admission


def arrival(*notifications: Notification) -> Arrival:
    return Arrival(notifications, ())


def stored(connection: Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM inbox").fetchone()
    return int(count)


def outcomes(results: object) -> list[list[Outcome]]:
    assert isinstance(results, list)
    return [[receipt.outcome for receipt in receipts] for receipts in results]


def test_what_is_new_of_several_callers_takes_one_statement(connection: Connection, admission: Admission) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    results = admission.at_once(connection, NOW, [arrival(*several(3)), arrival(notification("x"))])
    assert outcomes(results) == [[Outcome.NEW] * 3, [Outcome.NEW]]
    assert len(set(statements)) == 1  # traced once more for every step of the trigger
    assert stored(connection) == 5


@pytest.mark.parametrize("count", [LARGEST_STATEMENT_ROWS, LARGE_STATEMENTS[-1], LARGE_STATEMENTS[0]])
def test_as_many_as_a_statement_takes_go_in_at_once(connection: Connection, admission: Admission, count: int) -> None:
    (found,) = outcomes(admission.at_once(connection, NOW, [arrival(*several(count))]))
    assert found == [Outcome.NEW] * count
    assert stored(connection) == count + 1


def test_what_takes_several_statements_keeps_the_order_of_arrival(
    connection: Connection, admission: Admission
) -> None:
    many = several(LARGE_STATEMENTS[0] + LARGE_STATEMENTS[-1] + LARGEST_STATEMENT_ROWS + 1)
    (found,) = outcomes(admission.perform(Transaction(connection, NOW), [arrival(*many, many[0])]))
    assert found == [Outcome.NEW] * len(many) + [Outcome.DUPLICATE]
    keys = [key for (key,) in connection.execute("SELECT key FROM inbox ORDER BY seq").fetchall()]
    assert keys[1:] == [notification.key for notification in many]


def test_the_statement_counts_what_it_inserts(connection: Connection, admission: Admission) -> None:
    admission.at_once(connection, NOW, [arrival(*several(3))])
    assert connection.execute("SELECT event, count FROM minutes").fetchall() == [("accepted", 4)]


@pytest.mark.parametrize(
    "works",
    [
        [arrival(notification(tenant=OTHER))],
        [Arrival([notification("x")], [letter()])],
        [Arrival([], [letter()])],
        [Arrival([notification("x")], [], [fact()])],
        [arrival(notification("x")), lambda transaction: None],
        [arrival(*several(LARGEST_STATEMENT_ROWS + 1))],
        [arrival(*several(LARGEST_STATEMENT_ROWS)), arrival(notification("x"))],
        [arrival(*several(LARGE_STATEMENTS[0] + 1))],
    ],
    ids=[
        "unknown tenant",
        "with a dead letter",
        "only a dead letter",
        "with a fact",
        "beside other work",
        "too many",
        "too many together",
        "more than the largest statement takes",
    ],
)
def test_what_one_statement_cannot_do_is_left_untouched(
    connection: Connection, admission: Admission, works: list[object]
) -> None:
    assert admission.at_once(connection, NOW, works) is None  # type: ignore[arg-type]
    assert stored(connection) == 1


def test_one_duplicate_leaves_all_to_a_transaction(connection: Connection, admission: Admission) -> None:
    works = [arrival(notification("new")), arrival(notification("first"))]
    assert admission.at_once(connection, NOW, works) is None
    assert stored(connection) == 1
    results = admission.perform(Transaction(connection, NOW), works)
    assert outcomes(results) == [[Outcome.NEW], [Outcome.DUPLICATE]]


def test_after_a_duplicate_the_short_way_is_left_for_a_while(connection: Connection, admission: Admission) -> None:
    admission.at_once(connection, NOW, [arrival(notification("first"))])
    tried = [admission.at_once(connection, NOW, [arrival(item)]) for item in several(WARY_BATCHES + 1)]
    assert tried[:-1] == [None] * WARY_BATCHES
    assert tried[-1] is not None


def test_a_tenant_that_went_meanwhile_is_found_out(connection: Connection, admission: Admission) -> None:
    connection.execute("UPDATE tenants SET state = 'gone'")
    works = [arrival(notification("x"))]
    assert admission.at_once(connection, NOW, works) is None
    assert outcomes(admission.perform(Transaction(connection, NOW), works)) == [[Outcome.ERASED]]
    assert stored(connection) == 1


def test_a_tenant_that_was_forgotten_meanwhile_is_made_again(connection: Connection, admission: Admission) -> None:
    connection.execute("DELETE FROM inbox")
    connection.execute("DELETE FROM tenants")
    works = [arrival(notification("x"))]
    assert admission.at_once(connection, NOW, works) is None
    assert outcomes(admission.perform(Transaction(connection, NOW), works)) == [[Outcome.NEW]]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_results_are_in_the_order_of_the_works(connection: Connection, admission: Admission) -> None:
    works: list[Work] = [lambda transaction: "a", arrival(notification("x")), lambda transaction: "b"]
    first, receipts, last = admission.perform(Transaction(connection, NOW), works)
    assert (first, last) == ("a", "b")
    assert receipts == [Receipt(ACME, notification("x").key, Outcome.NEW)]
