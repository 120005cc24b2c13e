"""Transactional settling: a handler's writes and the end of its attempt in one transaction; see ``Inbox.settling``.

The transaction has a connection of its own and locks nothing of the store's: the lease is renewed meanwhile, and the
update that settles asks whether it is still held. Meanwhile the store's tables look empty to the handler, and refuse
what it inserts (row-level security): they are the store's to write.

A handler's statements go one by one and cannot end the transaction: what begins with a word of ``REFUSED`` is not
sent, and inside functions and ``DO`` the database itself refuses it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from subscriber.errors import HandlerError, LeaseLost, OutOfTime
from subscriber.model import Attempt, Decision
from subscriber.store import Cursor
from subscriber.store.postgres.database import Database
from subscriber.store.postgres.driver import Connection, DriverError, translated
from subscriber.store.postgres.settlement import ending, settle

BLOCK_SECONDS = 60.0  # the contract's limit: long beside any write, short beside what a fail-over may take

HELD = "SELECT 1 FROM inbox WHERE seq = %s AND lease = %s AND state = 'running'"
LIMITS = """
    SELECT set_config('statement_timeout', %(millis)s, true),
        set_config('idle_in_transaction_session_timeout', %(millis)s, true)
"""
HIDE = "SELECT set_config('subscriber.everybody', 'off', true)"
SHOW = "SELECT set_config('subscriber.everybody', 'on', true)"

# Of transactions, and of the session, which others use afterwards.
REFUSED = frozenset(
    "abort begin commit deallocate discard end listen load prepare release reset rollback savepoint set start "
    "unlisten".split()
)
COMMENT_EDGE = re.compile(r"/\*|\*/")


class TimeLimit:
    """How long a transaction may be open, counted from here."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.millis = int(seconds * 1000)
        self.text = f"{seconds:g} s"

    @property
    def over(self) -> bool:
        return time.monotonic() > self._deadline

    def exceeded(self) -> OutOfTime:
        return OutOfTime(f"the transaction was open for longer than {self.text}")


class LentCursor:
    """See ``store.Cursor``. No other way leads to the connection."""

    def __init__(self, connection: Connection, limit: TimeLimit) -> None:
        self._connection = connection
        self._raw = connection.cursor()
        self._limit = limit
        self._settled = False
        self._dead = False

    @property
    def description(self) -> Sequence[Any] | None:
        return self._usable().description

    @property
    def rowcount(self) -> int:
        return self._usable().rowcount

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> LentCursor:
        refuse(sql)
        with self._in_time() as raw:
            # Prepared, so that the server takes one statement at a time.
            raw.execute(sql.encode(), parameters or None, prepare=True)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> LentCursor:
        refuse(sql)
        with self._in_time() as raw:
            raw.executemany(sql.encode(), parameters)
        return self

    def fetchone(self) -> Any:
        return self._usable().fetchone()

    def fetchmany(self, size: int = 1, /) -> list[Any]:
        return self._usable().fetchmany(size)

    def fetchall(self) -> list[Any]:
        return self._usable().fetchall()

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def finish(self) -> Connection:
        """The handler's part is over: the connection for the last statement, the store's own."""
        self._usable()
        if self._connection.info.transaction_status == TransactionStatus.INERROR:
            raise HandlerError("a statement of the handler failed: nothing of it can be kept", reason="rolled_back")
        self._settled = True
        return self._connection

    def die(self) -> None:
        """The transaction has ended, or is about to."""
        self._dead = True
        self._raw.close()

    def _usable(self) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._dead or self._limit.over:
            raise OutOfTime(f"the transaction of this cursor has ended: it may be open for {self._limit.text}")
        if self._settled:
            raise LeaseLost("the attempt is settled: nothing can be written with it any more")
        return self._raw

    @contextmanager
    def _in_time(self) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        raw = self._usable()
        try:
            yield raw
        except errors.QueryCanceled as error:
            raise OutOfTime(
                f"a statement of the handler was broken off: its transaction may be open for {self._limit.text}"
            ) from error
        if self._connection.info.transaction_status == TransactionStatus.IDLE:
            raise HandlerError("a statement of the handler ended the transaction", reason="rolled_back")


class PostgresSettling:
    """See ``store.Settling``."""

    def __init__(self, attempt: Attempt, cursor: LentCursor, now: int | None) -> None:
        self._attempt = attempt
        self._cursor = cursor
        self._now = now
        self.settled = False

    @property
    def cursor(self) -> Cursor:
        return self._cursor

    def settle(self, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> None:
        last = ending(self._attempt, decision, sinks_done)
        connection = self._cursor.finish()
        try:
            connection.execute(SHOW)
            self.settled = bool(settle(connection, self._now, [last]))
        except DriverError as error:
            raise translated(error) from error
        if not self.settled:
            raise _lost(self._attempt)


@contextmanager
def settling(attempt: Attempt, database: Database, *, seconds: float = BLOCK_SECONDS) -> Iterator[PostgresSettling]:
    """See ``Inbox.settling``. ``seconds``: how long the block may take."""
    limit = TimeLimit(seconds)
    of_the_block: BaseException | None = None
    try:
        with database.handler() as connection:
            _begin(connection, attempt, limit)
            cursor = LentCursor(connection, limit)
            settling = PostgresSettling(attempt, cursor, database.told_millis())
            try:
                yield settling
            except BaseException as error:
                of_the_block = error
                raise
            finally:
                cursor.die()
            if not settling.settled:
                raise limit.exceeded() if limit.over else psycopg.Rollback
    except DriverError as error:
        if error is of_the_block and not connection.broken:
            raise  # the handler's own mistake, its own business
        raise _told(error, limit) from error


def _begin(connection: Connection, attempt: Attempt, limit: TimeLimit) -> None:
    if connection.execute(HELD, (attempt.seq, attempt.lease)).fetchone() is None:
        raise _lost(attempt)
    connection.execute(LIMITS, {"millis": str(limit.millis)})
    connection.execute(HIDE)


def refuse(sql: str) -> None:
    """Raises ``HandlerError`` for a statement that would end the transaction, or change the session."""
    if first_word(sql) in REFUSED:
        raise HandlerError("no transactional handler may do what this statement does", reason="not_authorized")


def first_word(sql: str) -> str:
    """What a statement begins with, in lower case, behind blanks, empty statements and comments."""
    while True:
        sql = sql.lstrip("; \t\n\r\f\v")
        if sql.startswith("--"):
            sql = re.sub(r"\A[^\r\n]*", "", sql)
        elif sql.startswith("/*"):
            sql = _behind_comment(sql)
        else:
            return re.split(r"[^A-Za-z]", sql, maxsplit=1)[0].lower()


def _behind_comment(sql: str) -> str:
    """Comments nest."""
    depth = 0
    for edge in COMMENT_EDGE.finditer(sql):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return sql[edge.end() :]
    return ""


def _told(error: DriverError, limit: TimeLimit) -> Exception:
    """What an error that is not the handler's means."""
    if isinstance(error, psycopg.IntegrityError):
        return HandlerError("a constraint that is checked at the end does not hold", reason="constraint")
    if isinstance(error, errors.IdleInTransactionSessionTimeout) or limit.over:
        return limit.exceeded()
    return translated(error)


def _lost(attempt: Attempt) -> LeaseLost:
    return LeaseLost(f"row {attempt.seq} is not held by lease {attempt.lease} any more")
