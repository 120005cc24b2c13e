"""What the Reports on PostgreSQL add to the contract: late commits, and the wall between tenants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from subscriber.errors import InvalidCursor, StoreUnavailable
from subscriber.model import Done
from subscriber.store import DeadFilter, RowFilter, Store, cursors, paging
from subscriber.store.cells import ADDED, added
from subscriber.store.postgres import reports
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection
from tests.store.contract import told
from tests.store.making import ACME, OTHER, START, key, lease_one, letter, notification, several
from tests.store.postgres.asking import aside, ask, fill, plan


def bring(connection: Connection, name: str) -> None:
    """A row of the first tenant, not committed yet."""
    places = ", ".join(["%s"] * len(ADDED.split(",")))
    connection.execute(f"INSERT INTO inbox ({ADDED}) VALUES ({places})", (*added(notification(name)), 1, 0))


def test_a_cursor_never_skips_a_late_commit(store: Store, url: str) -> None:
    store.inbox.add([notification("first")])
    with aside(url) as slow:
        bring(slow, "slow")
        store.inbox.add([notification("quick")])
        keys, cursor = told(store.reports, RowFilter(), "", 10, 1)
        assert keys == [key("first")]
        assert store.reports.after(RowFilter(), store.reports.end(), 10).rows == []
    assert told(store.reports, RowFilter(), cursor, 10, 2)[0] == [key("slow"), key("quick")]


def test_the_end_is_never_behind_a_row_that_is_still_to_come(store: Store, url: str) -> None:
    store.inbox.add([notification("first")])
    with aside(url) as slow:
        bring(slow, "slow")
        store.inbox.add([notification("quick")])
        end = store.reports.end()
    assert key("slow") in told(store.reports, RowFilter(), end, 10, 2)[0]


def test_a_transaction_that_brings_no_rows_holds_nobody_back(store: Store, url: str) -> None:
    with aside(url) as handler:
        handler.execute("INSERT INTO pauses (kind, name, since) VALUES ('topic', 't', 0)")
        store.inbox.add([notification()])
        assert told(store.reports, RowFilter(), "", 10, 1)[0] == [key("one")]


def test_rows_of_a_transaction_that_failed_are_never_told(store: Store, url: str) -> None:
    store.inbox.add([notification("first")])
    with aside(url) as slow:
        bring(slow, "slow")
        slow.rollback()
    store.inbox.add([notification("second")])
    assert told(store.reports, RowFilter(), "", 10, 2)[0] == [key("first"), key("second")]


def test_a_cursor_ahead_of_every_transaction_is_of_another_database(store: Store) -> None:
    store.inbox.add([notification()])
    with pytest.raises(InvalidCursor, match="another database"):
        store.reports.after(RowFilter(), cursors.written((10**12, 1)), 10)


QUESTIONS: list[Callable[[reports.PostgresReports], object]] = [
    lambda blind: blind.rows(RowFilter(), 10).rows,
    lambda blind: blind.after(RowFilter(), "", 10).rows,
    lambda blind: blind.dead_letters(None, 10),
    lambda blind: blind.counts().pending,
    lambda blind: blind.row(ACME, key("n0")),
    lambda blind: blind.oldest_pending(),
]


@pytest.mark.parametrize("question", range(len(QUESTIONS)))
def test_a_question_that_forgets_its_tenant_is_told_nothing_of_others(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch, question: int
) -> None:
    store.inbox.add(several(3), [letter()])
    store.inbox.add([notification(tenant=OTHER)])
    told(store.reports, RowFilter(), "", 10, 4)
    store.inbox.settle(
        store.inbox.lease([lane for lane in store.inbox.lanes() if lane.tenant == OTHER], 1, 30)[0], Done()
    )
    monkeypatch.setattr(reports, "OURS", "true")
    monkeypatch.setattr("subscriber.store.postgres.listing.OURS", "true")
    monkeypatch.setattr(reports, "ONE", reports.ONE.replace("tenant_id = ANY (%(ids)s)", "true"))
    answer = QUESTIONS[question](reports.PostgresReports(database).within([OTHER]))
    rows = answer if isinstance(answer, list) else []
    assert not answer or {getattr(row, "notification", row).tenant for row in rows} == {OTHER}


def test_the_reader_pool_hides_all_rows_from_a_statement_without_a_filter(
    store: Store, database: Database, url: str
) -> None:
    store.inbox.add([*several(3), notification(tenant=OTHER)], [letter()])
    ids = {name: id for id, name in ask(url, "SELECT id, name FROM tenants")}
    for table, expected in (("inbox", 1), ("dead_letters", 0), ("minutes", 1), ("tenants", 1), ("audit", 0)):
        with database.reader([ids[OTHER.name]]) as connection:
            assert len(connection.execute(f"SELECT * FROM {table}").fetchall()) == expected, table
        with database.reader([]) as connection:
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == [], table


def test_the_reader_pool_cannot_write(store: Store, database: Database) -> None:
    store.inbox.add([notification()])
    with pytest.raises(StoreUnavailable), database.reader([1]) as connection:
        connection.execute("DELETE FROM inbox")


def test_totals_are_summed_over_writers(store: Store, url: str) -> None:
    store.inbox.add([notification()])
    store.inbox.settle(lease_one(store), Done())
    with aside(url) as connection:
        connection.execute("INSERT INTO totals SELECT tenant_id, event, writer + 100, 5 FROM totals")
        connection.execute("INSERT INTO minutes SELECT minute, tenant_id, event, writer + 100, 5 FROM minutes")
    assert store.reports.counts().done == 6
    assert {count for _, _, count in store.reports.minutes(START)} == {6}


def test_counting_looks_at_no_row_that_is_done(url: str, database: Database) -> None:
    fill(url, 20_000)
    with database.service() as connection:
        for ours in ("true", reports.OURS):
            assert "Seq Scan on inbox" not in plan(connection, reports.COUNTS.format(ours=ours), {"ids": [1]})
        assert "Seq Scan on inbox" not in plan(connection, reports.OLDEST.format(ours="true"), {"now": None})


def test_counting_by_reason_looks_at_no_row_that_is_not_dead(url: str, database: Database) -> None:
    fill(url, 20_000)
    known = {**paging.died(DeadFilter()), "ids": [1]}
    with database.service() as connection:
        for candidates in (reports.ALL_DEAD, reports.OUR_DEAD):
            assert "Seq Scan on inbox" not in plan(connection, reports.BY_REASON.format(candidates=candidates), known)
