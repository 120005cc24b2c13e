"""Transactional handling on PostgreSQL: what it adds to the contract."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing

import psycopg
import pytest

from subscriber.errors import HandlerError, LeaseLost, OutOfTime, StoreUnavailable
from subscriber.model import Attempt, Done
from subscriber.store import Store
from subscriber.store.postgres import open_store
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.settling import first_word, settling
from tests.servers.postgres import Server
from tests.store.making import ACME, key, lease_all, lease_one, lease_ordered, notification, several
from tests.store.postgres.asking import ask

SETTLE_FOREVER = """
import sys
from subscriber.store.postgres import open_store
from tests.store.postgres.test_settling import settle_with_effects

store = open_store(sys.argv[1])
print("ready", flush=True)
while True:
    for attempt in store.inbox.lease(store.inbox.lanes(), 5, 0.1):
        settle_with_effects(store, attempt)
"""


@pytest.fixture
def effects(url: str) -> None:
    ask(url, "CREATE TABLE effects (seq bigint, part bigint, UNIQUE (seq, part) DEFERRABLE INITIALLY DEFERRED)")


@pytest.fixture
def attempt(store: Store) -> Attempt:
    store.inbox.add([notification()])
    return lease_one(store)


def settle_with_effects(store: Store, attempt: Attempt) -> None:
    with store.inbox.settling(attempt) as block:
        block.cursor.executemany("INSERT INTO effects VALUES (%s, %s)", ((attempt.seq, part) for part in range(20)))
        block.settle(Done())


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("COMMIT", "commit"),
        ("  ;\n commit;", "commit"),
        ("-- a\n/* b /* c */ */ RollBack TO x", "rollback"),
        ("-- a\rend", "end"),
        ("/* never closed", ""),
        ("/**/SELECT 1", "select"),
        ("(SELECT 1)", ""),
        ("", ""),
    ],
)
def test_a_statement_is_known_by_its_first_word(sql: str, word: str) -> None:
    assert first_word(sql) == word


@pytest.mark.parametrize(
    "statement",
    ["START TRANSACTION", "/* /* */ */ COMMIT", "SELECT 1; COMMIT", "DO $$ BEGIN COMMIT; END $$", "SET jit = on"],
)
@pytest.mark.usefixtures("effects")
def test_no_way_leads_out_of_the_transaction(store: Store, url: str, attempt: Attempt, statement: str) -> None:
    with pytest.raises((HandlerError, psycopg.Error)), store.inbox.settling(attempt) as block:
        block.cursor.execute("INSERT INTO effects VALUES (1, 1)")
        block.cursor.execute(statement)
    assert ask(url, "SELECT * FROM effects") == []
    assert store.inbox.settle(attempt, Done()) is True


@pytest.mark.usefixtures("effects")
def test_a_failed_statement_that_the_handler_passes_over_keeps_nothing(
    store: Store, url: str, attempt: Attempt
) -> None:
    with pytest.raises(HandlerError) as raised, store.inbox.settling(attempt) as block:
        block.cursor.execute("INSERT INTO effects VALUES (1, 1)")
        with pytest.raises(psycopg.Error):
            block.cursor.execute("INSERT INTO nowhere VALUES (1)")
        block.settle(Done())
    assert raised.value.reason == "rolled_back"
    assert ask(url, "SELECT * FROM effects") == []


@pytest.mark.usefixtures("effects")
def test_a_constraint_that_is_checked_at_the_end_undoes_everything(store: Store, url: str, attempt: Attempt) -> None:
    with pytest.raises(HandlerError) as raised, store.inbox.settling(attempt) as block:
        for _ in range(2):
            block.cursor.execute("INSERT INTO effects VALUES (%s, %s)", (1, 1))
        block.settle(Done())
    assert raised.value.reason == "constraint"
    assert store.inbox.settle(attempt, Done()) is True


def test_the_stores_own_tables_look_empty_and_take_nothing(store: Store, attempt: Attempt) -> None:
    with store.inbox.settling(attempt) as block:
        block.cursor.execute("SELECT * FROM inbox")
        assert block.cursor.fetchall() == []
        block.cursor.execute("UPDATE inbox SET state = 'done'")
        assert block.cursor.rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            block.cursor.execute("INSERT INTO audit (at, actor, action, detail) VALUES (0, '', '', '')")


def test_a_lease_can_be_extended_meanwhile(store: Store, attempt: Attempt) -> None:
    with store.inbox.settling(attempt) as block:
        assert store.inbox.extend(attempt, 60) is True
        block.settle(Done())
    assert store.reports.counts().done == 1


def test_a_lease_that_is_lost_meanwhile_undoes_everything(store: Store, url: str, attempt: Attempt) -> None:
    with pytest.raises(LeaseLost), store.inbox.settling(attempt) as block:
        block.cursor.execute("CREATE TABLE made (n bigint)")
        assert store.inbox.settle(attempt, Done()) is True
        block.settle(Done())
    assert ask(url, "SELECT to_regclass('made')") == [(None,)]


def test_what_was_settled_is_not_written_to_any_more(store: Store, attempt: Attempt) -> None:
    with pytest.raises(LeaseLost), store.inbox.settling(attempt) as block:
        block.settle(Done())
        block.cursor.execute("SELECT 1")
    assert store.reports.counts().done == 0


def test_a_statement_that_takes_too_long_is_broken_off(database: Database, store: Store, attempt: Attempt) -> None:
    with pytest.raises(OutOfTime, match=r"0\.3 s"), settling(attempt, database, seconds=0.3) as block:
        block.cursor.execute("SELECT pg_sleep(30)")
    assert store.inbox.settle(attempt, Done()) is True


def test_a_block_that_takes_too_long_between_statements_is_undone(
    database: Database, store: Store, attempt: Attempt
) -> None:
    with pytest.raises(OutOfTime, match=r"0\.2 s"), settling(attempt, database, seconds=0.2) as block:
        time.sleep(0.4)  # as a handler that asks the network would
        block.settle(Done())
    with pytest.raises(OutOfTime):
        block.cursor.execute("SELECT 1")
    assert store.inbox.settle(attempt, Done()) is True


def test_a_block_that_takes_too_long_and_ends_without_settling_is_told_the_limit(
    database: Database, attempt: Attempt
) -> None:
    with pytest.raises(OutOfTime, match=r"longer than 0\.2 s"), settling(attempt, database, seconds=0.2):
        time.sleep(0.4)


def test_a_session_that_ends_meanwhile_is_the_stores_fault(
    server: Server, store: Store, url: str, attempt: Attempt
) -> None:
    with pytest.raises(StoreUnavailable), store.inbox.settling(attempt) as block:
        server.terminate(url)
        block.cursor.execute("SELECT 1")
    assert store.inbox.settle(attempt, Done()) is True


def test_a_handler_that_takes_its_time_holds_back_nobodys_order(store: Store, attempt: Attempt) -> None:
    with store.inbox.settling(attempt) as block:
        block.cursor.execute("CREATE TABLE made (n bigint)")
        store.inbox.add([notification("later", source="other")])
        assert [found.notification.key for found in lease_ordered(store)] == [key("later")]
        block.settle(Done())


@pytest.mark.usefixtures("effects")
def test_a_killed_process_leaves_effects_of_settled_rows_only_and_all_of_them(url: str) -> None:
    chance = random.Random(5)

    def written() -> list[tuple[int, int]]:
        return ask(url, "SELECT seq, count(*) FROM effects GROUP BY seq ORDER BY seq")  # type: ignore[return-value]

    with closing(open_store(url)) as store:
        store.inbox.add(several(200))
        for _ in range(4):
            with subprocess.Popen([sys.executable, "-c", SETTLE_FOREVER, url], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None and process.stdout.readline() == b"ready\n"
                time.sleep(chance.uniform(0, 0.3))  # any moment will do
                process.kill()
        deadline = time.monotonic() + 60
        while store.reports.counts(ACME).done < 200 and time.monotonic() < deadline:
            for attempt in lease_all(store, 50):
                settle_with_effects(store, attempt)
        assert written() == [(seq, 20) for seq in range(1, 201)]
        assert store.reports.counts(ACME).done == 200
