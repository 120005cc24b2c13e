"""What the lists on PostgreSQL look at."""

from __future__ import annotations

import pytest

from subscriber.model import State
from subscriber.store import RowFilter, Store, paging
from subscriber.store.postgres import listing
from subscriber.store.postgres.database import Database
from tests.store.making import ACME, OTHER, key, notification, several
from tests.store.postgres.asking import fill, plan

WANTED = [
    RowFilter(),
    RowFilter(topic="none"),
    RowFilter(tenant=ACME),
    RowFilter(tenant=ACME, source="source-0"),
    RowFilter(tenant=ACME, source="none"),
    RowFilter(state=State.DONE),
    *(RowFilter(state=state) for state in State),
    *(RowFilter(state=state, tenant=ACME) for state in State),
]


def test_no_list_reads_the_whole_table(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "SCAN_ROWS", 50)
    fill(url, 20_000)
    with database.service() as connection:
        for wanted in WANTED:
            known = listing.known(wanted, 5) | {"before": 10_000, "last_xid": 150, "last_seq": 5}
            known |= {"xid": 100, "seq": 7, "horizon": 150}
            known |= {"ids": [1]} if wanted.tenant else {}
            known |= listing.look_up(connection, wanted, known)
            for sql in (listing.newest(wanted, known), listing.arrived(wanted, known), listing.LAST_LOOKED_AT):
                assert "Seq Scan on inbox" not in plan(connection, sql, known), wanted


def test_a_source_with_few_rows_is_found_whole_however_far_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SCAN_ROWS", 10)
    store.inbox.add([notification("old", source="rare")])
    store.inbox.add(several(50))
    page = store.reports.rows(RowFilter(tenant=ACME, source="rare"), 5)
    assert [row.notification.key for row in page.rows] == [key("old")]
    assert page.next is None


def test_a_source_with_more_rows_than_a_look_sees_is_read_with_its_tenants_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SCAN_ROWS", 10)
    store.inbox.add(several(15))
    store.inbox.add([notification(f"o{number}", source="other") for number in range(8)])
    first = store.reports.rows(RowFilter(tenant=ACME, source="asset-1"), 5)
    assert [row.notification.key for row in first.rows] == [key("n14"), key("n13")]
    second = store.reports.rows(RowFilter(tenant=ACME, source="asset-1"), 5, first.next)
    assert [row.notification.key for row in second.rows] == [key(f"n{number}") for number in range(12, 7, -1)]


def test_a_tenants_rows_are_found_among_many_of_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "SCAN_ROWS", 10)
    store.inbox.add([notification(tenant=OTHER)])
    store.inbox.add(several(50))
    assert len(store.reports.rows(RowFilter(tenant=OTHER), 5).rows) == 1
