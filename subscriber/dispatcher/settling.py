"""Ending attempts in the store, whatever becomes of the store meanwhile. Called from many threads at once.

An attempt is settled apart from its handler, or, on a transactional route, in the transaction in which the handler
writes. In both ways what happened is not forgotten while the store is away, and an attempt whose lease went to
somebody else ends nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple, TypeVar

from subscriber.dispatcher.decisions import Verdict, read_answer, read_error
from subscriber.dispatcher.leases import Job
from subscriber.errors import HandlerError, LeaseLost, OutOfTime, Unavailable
from subscriber.model import Attempt, Decision, Done
from subscriber.store import Inbox

INSIST_FIRST_SECONDS = 0.1  # a busy store has often taken its breath by then
INSIST_MAX_SECONDS = 2.0  # well under a third of a lease, so that a store that is back is noticed in time
# How often a handler runs in one attempt when the store fails after it: enough for a fail-over, which loses one
# transaction, and few enough that a handler which spoils its own transaction is an attempt's error soon.
TRANSACTION_RUNS = 3

Result = TypeVar("Result")
Part = Callable[[], object]  # a handler or a sink with its arguments
Ending = tuple[Decision, frozenset[str]]  # the decision, and every part that has succeeded


class End(NamedTuple):
    """How a job ended: by which lease, with which reason, and as what it was settled (None: the lease was lost)."""

    attempt: Attempt
    reason: str
    decision: Decision | None


class Settler:
    """Settles. ``closing`` ends all insisting; ``jitter`` yields 0 up to 1."""

    def __init__(self, inbox: Inbox, jitter: Callable[[], float]) -> None:
        self._inbox = inbox
        self._jitter = jitter
        self.closing = threading.Event()

    def settle(self, job: Job, decision: Decision, done: frozenset[str]) -> End | None:
        """Settle a job by its newest lease. None if the process closes before the store took it."""
        return self.insist(partial(self._settle_by_newest_lease, job, decision, done))

    def run_and_settle(self, job: Job, handler: Part, conclude: Callable[[Done], Ending]) -> End | Verdict | None:
        """Run a transactional handler, and settle its job in the same transaction if it is done.

        ``conclude`` says as what. Returns the verdict of a handler that is not done: then nothing it wrote stays, and
        the job is still to be settled. None if the process closes first.
        """
        failure: LeaseLost | Unavailable
        for _ in range(TRANSACTION_RUNS):
            attempt = job.attempt
            try:
                return self._run_in_transaction(job, attempt, handler, conclude)
            except (OutOfTime, HandlerError) as error:  # what the handler did cannot be committed
                return read_error(error)
            except LeaseLost as error:
                if job.attempt is attempt:
                    return End(attempt, error.reason, None)
                failure = error
            except Unavailable as error:  # nothing was written: what the handler did is undone
                failure = error
                if self.closing.wait(self._pause(INSIST_FIRST_SECONDS)):
                    return None
        return read_error(failure)

    def insist(self, call: Callable[[], Result]) -> Result | None:
        """Repeat what the store cannot do now, until it can or the process closes (None).

        However long the store is away, what a handler has done is not forgotten: nobody else can lease the row
        meanwhile, and if somebody does before us, the lease's number says so.
        """
        seconds = INSIST_FIRST_SECONDS
        while True:
            try:
                return call()
            except Unavailable:
                if self.closing.wait(self._pause(seconds)):
                    return None
                seconds = min(2 * seconds, INSIST_MAX_SECONDS)

    def _run_in_transaction(
        self, job: Job, attempt: Attempt, handler: Part, conclude: Callable[[Done], Ending]
    ) -> End | Verdict | None:
        with ExitStack() as stack:
            # A store that cannot begin has not run the handler: that may be repeated for as long as it takes.
            settling = self.insist(lambda: stack.enter_context(self._inbox.settling(attempt)))
            if settling is None:
                return None
            job.running.cursor = settling.cursor
            verdict = verdict_of(handler)
            if not isinstance(verdict, Done):
                return verdict
            decision, done = conclude(verdict)
            try:
                settling.settle(decision, done)
            except OutOfTime as error:
                return read_error(error)  # the end of the block says so as well, and names the limit
        return End(attempt, decision.reason, decision)

    def _settle_by_newest_lease(self, job: Job, decision: Decision, done: frozenset[str]) -> End:
        """The dispatcher may have adopted a new lease of the row since ours was read."""
        attempt = job.attempt
        while not (settled := self._inbox.settle(attempt, decision, done)) and job.attempt is not attempt:
            attempt = job.attempt
        return End(attempt, decision.reason, decision if settled else None)

    def _pause(self, seconds: float) -> float:
        return seconds * (0.5 + self._jitter())


def verdict_of(part: Part) -> Verdict:
    """What a handler or sink says, whatever comes out of it."""
    try:
        return read_answer(part())
    except (Exception, SystemExit) as error:  # around a handler; SystemExit: the process is not its to end
        return read_error(error)
