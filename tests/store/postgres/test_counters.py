"""Counters: each connection raises rows of its own."""

from __future__ import annotations

from subscriber.store import Counter
from subscriber.store.postgres.counters import WRITERS, add_totals, count
from subscriber.store.postgres.database import Database
from tests.store.postgres.asking import aside, ask


def test_counts_of_a_minute_add_up(database: Database, url: str) -> None:
    for now in (60_000, 119_999, 120_000):
        with database.service() as connection:
            count(connection, now, {(1, Counter.RETRY): 2})
    assert ask(url, "SELECT minute, event, count FROM minutes ORDER BY minute") == [(1, "retry", 4), (2, "retry", 2)]


def test_only_events_whose_totals_are_reported_have_totals(database: Database, url: str) -> None:
    with database.service() as connection:
        count(connection, 0, {(1, event): 1 for event in (Counter.DONE, Counter.DUPLICATE, Counter.DEAD)})
        count(connection, 0, {})
    assert ask(url, "SELECT event, count FROM totals ORDER BY event") == [("done", 1), ("duplicate", 1)]


def test_two_connections_count_the_same_thing_without_waiting(database: Database, url: str) -> None:
    with database.service() as one, aside(url) as two:
        pids = [connection.info.backend_pid for connection in (one, two)]
        assert pids[0] % WRITERS != pids[1] % WRITERS
        for connection in (one, two):
            count(connection, 0, {(1, Counter.DONE): 1})
            add_totals(connection, [(2, Counter.DONE, 5)])
        two.commit()
    assert ask(url, "SELECT tenant_id, sum(count)::int FROM totals GROUP BY 1 ORDER BY 1") == [(1, 2), (2, 10)]
    assert ask(url, "SELECT sum(count)::int, count(*) FROM minutes") == [(2, 2)]
