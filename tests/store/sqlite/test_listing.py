"""What the lists on SQLite look at."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from subscriber.model import Dead, State
from subscriber.store import RowFilter, Store, paging
from subscriber.store.sqlite import listing
from subscriber.store.sqlite.driver import Connection, open_reader
from tests.store.making import ACME, OTHER, key, lease_all, notification, several
from tests.store.sqlite.test_leasing import steps

WANTED = (
    RowFilter(),
    RowFilter(topic="none"),
    RowFilter(source="none"),
    RowFilter(tenant=ACME),
    RowFilter(tenant=ACME, source="asset-1"),
    RowFilter(tenant=OTHER, source="asset-1"),
    RowFilter(state=State.PENDING),
    RowFilter(tenant=ACME, state=State.PENDING),
    RowFilter(tenant=ACME, state=State.DEAD),
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look sees ten rows."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 10)


def cost(connection: Connection, wanted: RowFilter) -> int:
    """Of a page and of a look at what arrived."""
    known = listing.known(wanted, 5) | {"before": paging.LARGEST_SEQ, "behind": 20, "end": 2**40}
    known |= {"ids": "[1]"} if wanted.tenant else {}
    looked_up: list[listing.Known] = []
    whole = steps(connection, lambda: looked_up.append(listing.look_up(connection, wanted, known)))
    known |= looked_up[0]
    whole += steps(connection, lambda: connection.execute(listing.newest(wanted, known), known).fetchall())
    return whole + steps(connection, lambda: connection.execute(listing.arrived(known), known).fetchall())


@pytest.mark.parametrize("wanted", WANTED)
def test_no_list_costs_more_where_more_is_kept(store: Store, path: Path, wanted: RowFilter) -> None:
    store.inbox.add(several(100))
    for attempt in lease_all(store, 50):
        store.inbox.settle(attempt, Dead("x"))
    with closing(open_reader(str(path))) as connection:
        before = cost(connection, wanted)
        store.inbox.add(several(1000, prefix="m"))
        for _ in range(5):
            for attempt in lease_all(store, 100):
                store.inbox.settle(attempt, Dead("x"))
        assert cost(connection, wanted) <= before * 1.5


def test_a_source_with_few_rows_is_found_whole_however_far_back(store: Store) -> None:
    store.inbox.add([notification("old", source="rare")])
    store.inbox.add(several(50))
    page = store.reports.rows(RowFilter(tenant=ACME, source="rare"), 5)
    assert [row.notification.key for row in page.rows] == [key("old")]
    assert page.next is None


def test_a_source_with_more_rows_than_a_look_sees_is_read_with_its_tenants_others(store: Store) -> None:
    store.inbox.add(several(15))
    store.inbox.add([notification(f"o{number}", source="other") for number in range(8)])
    first = store.reports.rows(RowFilter(tenant=ACME, source="asset-1"), 5)
    assert [row.notification.key for row in first.rows] == [key("n14"), key("n13")]
    second = store.reports.rows(RowFilter(tenant=ACME, source="asset-1"), 5, first.next)
    assert [row.notification.key for row in second.rows] == [key(f"n{number}") for number in range(12, 7, -1)]
