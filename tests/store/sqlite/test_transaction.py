"""Statements, time, tenants and counters inside a write transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.model import Tenant, to_millis
from subscriber.store import Counter
from subscriber.store.sqlite.driver import Connection, open_writer
from subscriber.store.sqlite.transaction import MINUTE_MILLIS, NOBODY, Transaction
from tests.store.making import ACME, OTHER, START

NOW = to_millis(START)


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        yield connection


@pytest.fixture
def transaction(connection: Connection) -> Transaction:
    return Transaction(connection, NOW)


def test_a_tenant_gets_an_id_once(transaction: Transaction) -> None:
    ids = transaction.tenant_ids([ACME, OTHER, ACME])
    assert len(set(ids.values())) == 2
    assert transaction.tenant_id(ACME) == ids[ACME]
    assert transaction.tenant_ids([]) == {}


def test_many_tenants_are_found_at_once(transaction: Transaction) -> None:
    tenants = [Tenant("mindsphere", f"t{number}") for number in range(200)]
    ids = transaction.tenant_ids(tenants)
    assert len(set(ids.values())) == 200
    assert transaction.tenant_ids(tenants) == ids


def test_names_are_unique_on_their_platform_only(transaction: Transaction) -> None:
    ids = transaction.tenant_ids([Tenant("mindsphere", "same"), Tenant("pelion", "same")])
    assert len(set(ids.values())) == 2


def test_an_erased_tenant_is_nobody(transaction: Transaction) -> None:
    transaction.tenant_id(ACME)
    transaction.execute("UPDATE tenants SET state = 'gone'")
    assert transaction.tenant_id(ACME) == NOBODY


def test_counters_of_a_minute_add_up(connection: Connection) -> None:
    for _ in range(2):
        transaction = Transaction(connection, NOW)
        transaction.count(1, Counter.DUPLICATE)
        transaction.count(1, Counter.DUPLICATE, 2)
        transaction.count(2, Counter.RETRY)
        transaction.write_counters()
    assert connection.execute("SELECT minute, tenant_id, event, count FROM minutes").fetchall() == [
        (NOW // MINUTE_MILLIS, 1, Counter.DUPLICATE, 6),
        (NOW // MINUTE_MILLIS, 2, Counter.RETRY, 2),
    ]


def test_only_events_whose_totals_are_reported_have_totals(connection: Connection) -> None:
    transaction = Transaction(connection, NOW)
    for event in (Counter.DONE, Counter.DUPLICATE, Counter.RETRY, Counter.DEAD):
        transaction.count(1, event)
    transaction.write_counters()
    assert connection.execute("SELECT event FROM totals ORDER BY event").fetchall() == [
        (Counter.DONE,),
        (Counter.DUPLICATE,),
    ]


def test_counters_of_more_tenants_than_one_statement_takes_are_all_written(connection: Connection) -> None:
    transaction = Transaction(connection, NOW)
    for tenant_id in range(1, 301):
        transaction.count(tenant_id, Counter.DONE)
    transaction.write_counters()
    assert connection.execute("SELECT count(*), sum(count) FROM minutes").fetchone() == (300, 300)
    assert connection.execute("SELECT count(*), sum(count) FROM totals").fetchone() == (300, 300)
