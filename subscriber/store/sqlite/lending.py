"""The writer's connection in a handler's hands: for a while, in one transaction, under guard.

The committer lends its connection inside a transaction to the thread that asked, and waits. The borrower's statements
run in the borrower's thread; the connection comes back when that says so, or when the time is over: then a statement
that runs is interrupted, every later use refused, and all of it rolled back. Nobody else writes meanwhile.

What must never happen: two threads use the connection at once; a statement of the borrower's runs after the
transaction has ended; what the borrower wrote is kept without its saying so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from subscriber.errors import HandlerError, LeaseLost, OutOfTime
from subscriber.model import to_millis
from subscriber.store import Clock
from subscriber.store.sqlite import guard
from subscriber.store.sqlite.driver import (
    Connection,
    ConstraintBroken,
    Cursor,
    DriverError,
    about_the_database,
    forbidden,
    unavailable,
)
from subscriber.store.sqlite.transaction import Transaction

# Everybody else's writes wait meanwhile: less than half of their patience.
LOAN_SECONDS = 2.0
# A statement may begin just after the interruption meant for it, so that is repeated.
INTERRUPT_SECONDS = 0.01
# Rows of one ``executemany`` that are written without a look at the time: a few milliseconds.
ROWS_AT_ONCE = 500


class Loan:
    """One transaction. ``admit`` runs first in it, unguarded: what it raises ends the loan before it began."""

    def __init__(self, admit: Callable[[Transaction], None], clock: Clock, seconds: float) -> None:
        self._admit = admit
        self._clock = clock
        self._seconds = seconds
        self._mutex = threading.Lock()  # whoever has it may use the connection
        self._returned = threading.Event()
        self._finished = False  # the last statement was its own
        self._over = False
        self._keep = False
        self._connection: Connection
        self._transaction: Transaction
        self.begun = threading.Event()
        self.cursor: LentCursor  # from then on

    # The lender's side: the committer's thread.

    def run(self, connection: Connection) -> None:
        """From BEGIN to COMMIT. Raises what ``admit`` does, ``OutOfTime``, and ``HandlerError`` if it cannot end."""
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection, to_millis(self._clock()))
        try:
            self._admit(transaction)
            self._lend(connection, transaction)
            if self._keep:
                transaction.write_counters()
                _commit(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _lend(self, connection: Connection, transaction: Transaction) -> None:
        raw = connection.cursor()
        self._connection, self._transaction = connection, transaction
        self.cursor = LentCursor(self, raw)
        connection.set_authorizer(guard.authorize)
        self.begun.set()
        in_time = self._returned.wait(self._seconds)
        self._take_back(raw)
        if not in_time:
            raise OutOfTime(f"the transaction was open for longer than {self._seconds:g} s")

    def _take_back(self, raw: Cursor) -> None:
        self._over = True
        while not self._mutex.acquire(timeout=INTERRUPT_SECONDS):
            self._connection.interrupt()
        self._mutex.release()  # whoever gets it now is refused
        raw.close()
        self._connection.set_authorizer(None)

    # The borrower's side.

    @contextmanager
    def use(self) -> Iterator[None]:
        """Use the connection. Raises ``OutOfTime`` after the loan's end, and for what that interrupts."""
        with self._mutex:
            if self._over:
                raise self._late()
            if self._finished:
                raise LeaseLost("the attempt is settled: nothing can be written with it any more")
            if not self._connection.in_transaction:
                raise HandlerError("a statement of the handler rolled the transaction back", reason="rolled_back")
            try:
                yield
            except DriverError as error:
                raise self._told(error) from error

    def _told(self, error: DriverError) -> Exception:
        """A driver's error as the handler gets it: its own mistakes as they are, for they are its own business."""
        if self._over:
            return self._late()
        if forbidden(error):
            return HandlerError("no transactional handler may do what this statement does", reason="not_authorized")
        return unavailable(error) if about_the_database(error) else error

    def _late(self) -> OutOfTime:
        return OutOfTime(f"the transaction of this cursor has ended: it may be open for {self._seconds:g} s")

    def finish(self, work: Callable[[Transaction], bool]) -> bool:
        """Do the last thing in this transaction, unguarded: the cursor is dead from here on."""
        with self.use():
            self._connection.set_authorizer(None)
            self._finished = True
            return work(self._transaction)

    def give_back(self, *, keep: bool) -> None:
        """Let the lender commit, or else roll back."""
        self._keep = keep
        self._returned.set()


def _commit(connection: Connection) -> None:
    try:
        connection.execute("COMMIT")
    except ConstraintBroken as error:
        raise HandlerError("a constraint that is checked at the end does not hold", reason="constraint") from error


class LentCursor:
    """See ``store.Cursor``. No other way leads to the connection."""

    def __init__(self, loan: Loan, raw: Cursor) -> None:
        self._loan = loan
        self._raw = raw
        self._written: int | None = None  # rows, if the last call was ``executemany``

    @property
    def description(self) -> Sequence[Any] | None:
        with self._loan.use():
            return self._raw.description

    @property
    def rowcount(self) -> int:
        with self._loan.use():
            return self._raw.rowcount if self._written is None else self._written

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> LentCursor:
        with self._loan.use():
            self._written = None
            self._raw.execute(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> LentCursor:
        """Rows are taken from ``parameters`` outside the loan: a slow source of them cannot hold it."""
        rows, written = iter(parameters), 0
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            with self._loan.use():
                written += self._raw.executemany(sql, chunk).rowcount
        self._written = written
        return self

    def fetchone(self) -> Any:
        with self._loan.use():
            return self._raw.fetchone()

    def fetchmany(self, size: int = 1, /) -> list[Any]:
        with self._loan.use():
            return self._raw.fetchmany(size)

    def fetchall(self) -> list[Any]:
        with self._loan.use():
            return self._raw.fetchall()

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row
