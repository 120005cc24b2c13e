"""How arrivals are decided: by one statement where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from subscriber.model import Identity, Outcome
from subscriber.store.postgres.admission import CHANNEL, Admission
from subscriber.store.postgres.arrivals import Arrival
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from tests.store.making import ACME, OTHER, letter, notification, several
from tests.store.postgres.asking import ask


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with closing(database.connect()) as connection:
        yield connection


@pytest.fixture
def admission(database: Database, connection: Connection) -> Admission:
    """One that knows the tenants already."""
    admission = Admission(database)
    admission.perform(connection, [Arrival([notification("known"), notification("known", tenant=OTHER)], [])])
    return admission


def outcomes(admission: Admission, connection: Connection, *arrivals: Arrival) -> list[list[Outcome]]:
    return [[receipt.outcome for receipt in receipts] for receipts in admission.perform(connection, arrivals)]


def test_arrivals_of_several_callers_are_answered_one_by_one(admission: Admission, connection: Connection) -> None:
    new, old = Outcome.NEW, Outcome.DUPLICATE
    arrivals = [Arrival(several(3), []), Arrival([notification("n1"), notification("x")], []), Arrival([], [])]
    assert outcomes(admission, connection, *arrivals) == [[new, new, new], [old, new], []]


def test_the_statement_counts_what_it_does(admission: Admission, connection: Connection, url: str) -> None:
    admission.perform(connection, [Arrival([*several(5), notification("n1"), notification("known")], [])])
    assert ask(url, "SELECT tenant_id, event, sum(count)::int FROM minutes GROUP BY 1, 2 ORDER BY 1, 2") == [
        (1, "accepted", 6),
        (1, "duplicate", 2),
        (2, "accepted", 1),
    ]
    assert ask(url, "SELECT tenant_id, event, count FROM totals") == [(1, "duplicate", 2)]


def test_a_tenant_that_went_meanwhile_is_found_out(admission: Admission, connection: Connection, url: str) -> None:
    ask(url, "UPDATE tenants SET state = 'gone' WHERE id = 1")
    arrival = Arrival([notification("a"), notification("a", tenant=OTHER)], [letter()])
    assert outcomes(admission, connection, Arrival(arrival.notifications, [])) == [[Outcome.ERASED, Outcome.NEW]]
    assert outcomes(admission, connection, arrival) == [[Outcome.ERASED, Outcome.DUPLICATE]]
    assert ask(url, "SELECT count(*) FROM inbox WHERE tenant_id = 1") == [(1,)]
    assert ask(url, "SELECT * FROM dead_letters") == []
    assert ask(url, "SELECT tenant_id, sum(count)::int FROM minutes WHERE event = 'erased' GROUP BY 1") == [(0, 3)]


def test_a_tenant_that_was_forgotten_meanwhile_is_made_again(
    admission: Admission, connection: Connection, url: str
) -> None:
    ask(url, "DELETE FROM tenants")
    assert outcomes(admission, connection, Arrival([notification("a")], [])) == [[Outcome.NEW]]
    assert ask(url, "SELECT platform, name FROM tenants") == [tuple(ACME)]


@pytest.mark.parametrize("identity", list(Identity))
def test_a_value_that_cannot_be_stored_leaves_nothing(
    admission: Admission, connection: Connection, url: str, identity: Identity
) -> None:
    items = [notification("good", identity=identity), notification("bad", identity=identity, source="\0")]
    with pytest.raises(psycopg.DataError):
        admission.perform(connection, [Arrival(items, [])])
    assert ask(url, "SELECT count(*) FROM inbox") == [(2,)]


def test_hints_tell_of_new_rows_only_and_not_too_often(
    database: Database, admission: Admission, connection: Connection
) -> None:
    with closing(database.connect()) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        assert admission.follow_up(connection) is None  # of what the fixture brought
        admission.perform(connection, [Arrival([notification("known")], [])])
        assert admission.follow_up(connection) is None
        admission.perform(connection, [Arrival([notification("a")], [])])
        wait = admission.follow_up(connection)
        assert wait is None or 0 < wait <= 0.05
        assert len(list(listener.notifies(timeout=0.5))) == (1 if wait else 2)
