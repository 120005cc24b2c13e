"""The writer's connection on loan: the time limit, interruption, and what a cursor does and refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from subscriber.errors import HandlerError, LeaseLost, OutOfTime, StoreUnavailable
from subscriber.store.sqlite.driver import Connection, DriverError, open_reader, open_writer
from subscriber.store.sqlite.lending import ROWS_AT_ONCE, Loan
from tests.store.making import Clock

SHORT = 0.2  # seconds of a loan whose end is awaited
FOREVER = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"


@pytest.fixture
def connection(url: str, path: Path) -> Iterator[Connection]:
    with closing(open_writer(str(path), lock_wait_seconds=0)) as connection:
        connection.execute("CREATE TABLE theirs (name TEXT UNIQUE)")
        yield connection


class Lender(threading.Thread):
    """Stands for the committer: lends a connection, and keeps what became of it."""

    def __init__(self, connection: Connection, seconds: float = 5.0) -> None:
        super().__init__()
        self.loan = Loan(lambda transaction: None, Clock(), seconds)
        self.cursor = None
        self.error: Exception | None = None
        self._connection = connection

    def run(self) -> None:
        try:
            self.loan.run(self._connection)
        except Exception as error:
            self.error = error

    def lent(self) -> Loan:
        self.start()
        assert self.loan.begun.wait(5)
        return self.loan

    def ended(self) -> Exception | None:
        self.join(5)
        assert not self.is_alive() and not self._connection.in_transaction
        return self.error


@pytest.fixture
def lender(connection: Connection) -> Lender:
    return Lender(connection)


@pytest.fixture
def hasty(connection: Connection) -> Lender:
    return Lender(connection, SHORT)


def names(path: Path) -> list[str]:
    with closing(open_reader(str(path))) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM theirs ORDER BY name").fetchall()]


def test_what_is_given_back_to_be_kept_is_committed(lender: Lender, path: Path) -> None:
    loan = lender.lent()
    loan.cursor.execute("INSERT INTO theirs VALUES (?)", ("a",))
    loan.give_back(keep=True)
    assert lender.ended() is None
    assert names(path) == ["a"]


def test_what_is_only_given_back_is_rolled_back(lender: Lender, path: Path) -> None:
    loan = lender.lent()
    loan.cursor.execute("INSERT INTO theirs VALUES ('a')")
    loan.give_back(keep=False)
    assert lender.ended() is None
    assert names(path) == []


def test_what_is_not_admitted_is_not_lent(connection: Connection) -> None:
    def refuse(transaction: object) -> None:
        raise LeaseLost("not yours")

    loan = Loan(refuse, Clock(), SHORT)
    with pytest.raises(LeaseLost):
        loan.run(connection)
    assert not loan.begun.is_set() and not connection.in_transaction


@pytest.mark.parametrize(
    "use",
    [
        lambda cursor: cursor.execute("SELECT 1"),
        lambda cursor: cursor.executemany("INSERT INTO theirs VALUES (?)", [("b",)]),
        lambda cursor: cursor.fetchone(),
        lambda cursor: cursor.fetchmany(),
        lambda cursor: cursor.fetchall(),
        lambda cursor: list(cursor),
        lambda cursor: cursor.rowcount,
        lambda cursor: cursor.description,
    ],
)
def test_when_the_time_is_over_every_use_is_refused_and_all_is_rolled_back(
    hasty: Lender, path: Path, use: Callable[[object], object]
) -> None:
    loan = hasty.lent()
    loan.cursor.execute("INSERT INTO theirs VALUES ('a')")
    assert isinstance(hasty.ended(), OutOfTime)
    with pytest.raises(OutOfTime, match=f"may be open for {SHORT} s"):
        use(loan.cursor)
    loan.give_back(keep=True)
    assert names(path) == []


def test_a_statement_that_runs_is_interrupted(hasty: Lender, connection: Connection) -> None:
    loan, began = hasty.lent(), time.monotonic()
    with pytest.raises(OutOfTime):
        loan.cursor.execute(FOREVER)
    assert isinstance(hasty.ended(), OutOfTime)
    assert time.monotonic() - began < 5
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_statements_that_follow_each_other_fast_are_stopped_as_well(hasty: Lender) -> None:
    loan = hasty.lent()
    with pytest.raises(OutOfTime):
        while True:
            loan.cursor.execute("SELECT 1").fetchall()
    assert isinstance(hasty.ended(), OutOfTime)


def test_a_slow_source_of_rows_cannot_hold_the_connection(hasty: Lender, path: Path) -> None:
    loan, over = hasty.lent(), threading.Event()

    def rows() -> Iterator[tuple[str]]:
        yield ("a",)
        over.wait(5)
        yield ("b",)

    threading.Thread(target=lambda: (hasty.join(), over.set())).start()
    with pytest.raises(OutOfTime):
        loan.cursor.executemany("INSERT INTO theirs VALUES (?)", rows())
    assert isinstance(hasty.ended(), OutOfTime)


def test_many_rows_are_written_and_counted(lender: Lender, path: Path) -> None:
    loan, count = lender.lent(), 2 * ROWS_AT_ONCE + 1
    cursor = loan.cursor.executemany("INSERT INTO theirs VALUES (?)", ((f"{n:06}",) for n in range(count)))
    assert cursor.rowcount == count
    assert cursor.execute("DELETE FROM theirs WHERE name < ?", ("000010",)).rowcount == 10
    assert cursor.executemany("DELETE FROM theirs WHERE name = ?", []).rowcount == 0
    loan.give_back(keep=True)
    lender.ended()
    assert len(names(path)) == count - 10


def test_a_statement_half_read_does_not_hinder_the_commit(lender: Lender, path: Path) -> None:
    loan = lender.lent()
    loan.cursor.execute("INSERT INTO theirs VALUES ('a'), ('b') RETURNING name").fetchone()
    loan.give_back(keep=True)
    assert lender.ended() is None
    assert names(path) == ["a", "b"]


@pytest.mark.parametrize("catches", [True, False])
def test_a_statement_that_rolls_back_by_itself_ends_it_all(lender: Lender, path: Path, catches: bool) -> None:
    """Otherwise what follows would be committed statement by statement."""
    loan = lender.lent()
    loan.cursor.execute("INSERT INTO theirs VALUES ('a')")
    with pytest.raises(DriverError):
        loan.cursor.execute("INSERT OR ROLLBACK INTO theirs VALUES ('a')")
    with pytest.raises(HandlerError) as refusal:
        loan.cursor.execute("INSERT INTO theirs VALUES ('b')") if catches else loan.finish(lambda transaction: True)
    assert refusal.value.reason == "rolled_back"
    loan.give_back(keep=False)
    assert lender.ended() is None
    assert names(path) == []


def test_what_the_guard_refuses_is_a_handlers_error(lender: Lender) -> None:
    loan = lender.lent()
    with pytest.raises(HandlerError) as refusal:
        loan.cursor.execute("COMMIT")
    assert refusal.value.reason == "not_authorized"
    loan.give_back(keep=False)
    lender.ended()


def test_a_handlers_own_mistakes_are_the_drivers_errors(lender: Lender) -> None:
    loan = lender.lent()
    for statement in ("INSERT INTO nowhere VALUES (1)", "SELEKT", "INSERT INTO theirs VALUES ('a'), ('a')"):
        with pytest.raises(DriverError):
            loan.cursor.execute(statement)
    loan.give_back(keep=False)
    assert lender.ended() is None


def test_a_full_disk_is_no_mistake_of_the_handlers(lender: Lender, connection: Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1")
    loan = lender.lent()
    with pytest.raises(StoreUnavailable, match="disk is full"):
        loan.cursor.execute("INSERT INTO theirs VALUES (hex(zeroblob(1000000)))")
    loan.give_back(keep=False)
    assert lender.ended() is None


def test_after_its_last_thing_nothing_is_written(lender: Lender, path: Path) -> None:
    loan = lender.lent()
    last = "INSERT INTO pauses (kind, name, since) VALUES ('topic', 'ours', 0)"
    assert loan.finish(lambda transaction: transaction.execute(last).rowcount == 1)
    with pytest.raises(LeaseLost):
        loan.cursor.execute("INSERT INTO theirs VALUES ('a')")
    loan.give_back(keep=True)
    assert lender.ended() is None
    assert names(path) == []


def test_a_constraint_that_is_checked_at_the_end_is_the_handlers_error(lender: Lender, path: Path) -> None:
    loan = lender.lent()
    loan.cursor.execute(
        "CREATE TABLE more (name TEXT REFERENCES theirs (name) DEFERRABLE INITIALLY DEFERRED)"
    ).execute("INSERT INTO more VALUES ('nobody')")
    loan.give_back(keep=True)
    error = lender.ended()
    assert isinstance(error, HandlerError) and error.reason == "constraint"


def test_the_connection_is_unguarded_when_it_is_back(hasty: Lender, connection: Connection) -> None:
    hasty.lent()
    hasty.ended()
    connection.execute("BEGIN")
    connection.execute("DELETE FROM inbox")
    connection.execute("ROLLBACK")
