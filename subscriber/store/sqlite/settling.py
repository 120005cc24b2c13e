"""Transactional settling: a handler's writes and the end of its attempt in one transaction; see ``Inbox.settling``.

The block runs in its caller's thread and in the writer's turn: everybody else who writes waits for it. So it must not
call the store: that would wait for itself until its time is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from subscriber.errors import LeaseLost, SubscriberError
from subscriber.model import Attempt, Decision
from subscriber.store import Clock, Cursor
from subscriber.store.sqlite import leasing
from subscriber.store.sqlite.admission import Work
from subscriber.store.sqlite.committer import Committer
from subscriber.store.sqlite.lending import LOAN_SECONDS, Loan
from subscriber.store.sqlite.transaction import Transaction


class SqliteSettling:
    """See ``store.Settling``."""

    def __init__(self, attempt: Attempt, loan: Loan) -> None:
        self._attempt = attempt
        self._loan = loan
        self.settled = False

    @property
    def cursor(self) -> Cursor:
        return self._loan.cursor

    def settle(self, decision: Decision, sinks_done: frozenset[str] = frozenset()) -> None:
        self.settled = self._loan.finish(partial(leasing.settle, self._attempt, decision, sinks_done))
        if not self.settled:
            raise _lost(self._attempt)


@contextmanager
def settling(
    attempt: Attempt, committer: Committer[Work], clock: Clock, *, seconds: float = LOAN_SECONDS
) -> Iterator[SqliteSettling]:
    """See ``Inbox.settling``. ``seconds``: how long the block may take."""
    loan = Loan(partial(_require_lease, attempt), clock, seconds)
    borrower = SqliteSettling(attempt, loan)
    job = committer.begin_alone(loan.run, loan.begun)
    try:
        yield borrower
    except BaseException:
        loan.give_back(keep=False)
        with suppress(SubscriberError):  # what the block raised says more
            committer.result(job)
        raise
    loan.give_back(keep=borrower.settled)
    committer.result(job)


def _require_lease(attempt: Attempt, transaction: Transaction) -> None:
    if not leasing.holds(attempt, transaction):
        raise _lost(attempt)


def _lost(attempt: Attempt) -> LeaseLost:
    return LeaseLost(f"row {attempt.seq} is not held by lease {attempt.lease} any more")
