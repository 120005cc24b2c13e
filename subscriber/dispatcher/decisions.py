"""From what handler and sinks said to one decision on the row. Pure: time and chance come as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from subscriber.errors import SinkUnavailable, SubscriberError
from subscriber.model import DETAIL_CHARS, Dead, Decision, Done, Hold, Retry

REASON_CHARS = 80  # reasons are slugs: the longest of ours has 21 characters
DOUBLINGS = 30  # 2**30 seconds are 34 years: more would only overflow


@dataclass(frozen=True, slots=True)
class Away:
    """A receiver cannot be reached now, whatever is sent to it."""

    detail: str


Verdict = Done | Retry | Dead | Away  # of one part: the handler, or one sink


class Settled(StrEnum):
    """How an attempt ended, for counting."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"
    HELD = "held"  # put back without having cost an attempt
    LOST = "lost"  # the lease went to somebody else, or the store never took the decision


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to try again, and how often: exponential with full jitter."""

    max_attempts: int  # from 1
    base_seconds: float  # longest wait before the second attempt; doubles with each
    max_seconds: float  # longest wait of all

    def limited_to(self, max_attempts: int | None) -> RetryPolicy:
        """The policy of a route that says how many attempts it wants (None: it does not)."""
        return self if max_attempts is None else replace(self, max_attempts=max_attempts)

    def wait(self, number: int, jitter: float) -> timedelta:
        """The wait after attempt ``number``; ``jitter`` is from 0 up to 1."""
        ceiling = min(self.max_seconds, self.base_seconds * 2.0 ** min(number - 1, DOUBLINGS))
        return timedelta(seconds=ceiling * jitter)


def read_answer(answer: object) -> Verdict:
    """What a handler or sink returned. What it may not return is its error, and is tried again."""
    match answer:
        case None:
            return Done()
        case Retry(at=at) if at is not None and not _is_aware(at):
            return Retry(None, "handler_error", "Retry.at must be a datetime with a time zone, or None")
        case Done() | Retry() | Dead() if not isinstance(answer.reason, str) or not isinstance(_detail(answer), str):
            return Retry(None, "handler_error", f"{type(answer).__name__}: reason and detail must be text")
        case Done(reason=reason):
            return Done(bounded(reason, REASON_CHARS))
        case Retry(at=at, reason=reason, detail=detail):
            return Retry(at, bounded(reason, REASON_CHARS) or "retry", bounded(detail))
        case Dead(reason=reason, detail=detail):
            return Dead(bounded(reason, REASON_CHARS) or "dead", bounded(detail))
    return Retry(None, "handler_error", f"returned {type(answer).__name__}: not None, Done, Retry or Dead")


def read_error(error: BaseException) -> Verdict:
    """What a handler or sink raised."""
    if isinstance(error, SinkUnavailable):
        return Away(bounded(error.detail))
    reason = error.reason if isinstance(error, SubscriberError) else "handler_error"
    return Retry(None, bounded(reason, REASON_CHARS), bounded(f"{type(error).__name__}: {error}"))


def decide(
    verdicts: Sequence[Verdict], number: int, policy: RetryPolicy, *, now: datetime, jitter: float, hold_at: datetime
) -> Decision:
    """The decision on attempt ``number``, from the verdicts of the parts that ran (none: all were done before).

    The row ends only when every part has ended, so the least final verdict wins. ``hold_at``: when a held
    notification may come again. Nobody is asked again before the time it named.
    """
    for away in (verdict for verdict in verdicts if isinstance(verdict, Away)):
        return Hold(hold_at, SinkUnavailable.reason, away.detail)
    retries = [verdict for verdict in verdicts if isinstance(verdict, Retry)]
    if retries and number >= policy.max_attempts:
        return Dead("attempts", bounded(f"{retries[0].reason}: {retries[0].detail}"))
    if retries:
        at = max(retry.at or now + policy.wait(number, jitter) for retry in retries)
        return replace(retries[0], at=at)
    ends = [verdict for verdict in verdicts if isinstance(verdict, Dead)]
    ends_well = [verdict for verdict in verdicts if isinstance(verdict, Done)]
    return (ends or ends_well or [Done()])[0]


def outcome_of(decision: Decision) -> Settled:
    """What a decision counts as, once the store took it."""
    match decision:
        case Done():
            return Settled.DONE
        case Retry():
            return Settled.RETRY
        case Dead():
            return Settled.DEAD
        case Hold():
            return Settled.HELD


def bounded(text: str, limit: int = DETAIL_CHARS) -> str:
    """Text from a stranger, cut, and without what no database takes (lone surrogates, NUL)."""
    return text[:limit].encode("utf-8", "replace").decode().replace("\0", "?")


def _is_aware(moment: object) -> bool:
    return isinstance(moment, datetime) and moment.utcoffset() is not None


def _detail(answer: Done | Retry | Dead) -> object:
    return "" if isinstance(answer, Done) else answer.detail
