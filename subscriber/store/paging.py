"""How a list goes on, whichever back end finds its rows: bounds of a page, and where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from subscriber.model import Tenant, from_millis, to_millis
from subscriber.store.values import ByReason, DeadFilter, Page, ReasonCount, Row, RowFilter

# Rows one page looks at where no index answers the filter: some 10 ms.
SCAN_ROWS = 5000
LARGEST_PAGE = 1000
# Dead rows and dead letters that are counted by reason: some 20 ms, and more than anybody looks through.
GROUPED_ROWS = 10_000
# Reasons are slugs of programs, a few dozen; more would be no help to anybody.
LARGEST_GROUPS = 100
LARGEST_SEQ = 2**63 - 1
MINUTE_MILLIS = 60_000
QUARTER = 15  # minutes
MINUTES_KEPT = 31 * 24 * 60  # charts show a month; what must never fall is in `totals`
SUMMED_AFTER = 5  # minutes: by then whoever counted for a quarter that is over has committed
SUMMED_AT_ONCE = 96  # quarters of one call of `prune`: a day
# Rows are in order of acceptance, and reception comes before it by as long as a delivery may take to arrive (30 s)
# and to be stored (5 s): rows a minute further down cannot be younger.
DISORDER = timedelta(minutes=1)


class Window(NamedTuple):
    """The rows one page looks at: how many, the lowest seq among them and when that one was received."""

    scanned: int
    lowest_seq: int
    received_at: datetime


def bounded(limit: int) -> int:
    """The rows a page may have."""
    return max(1, min(limit, LARGEST_PAGE))


def narrowed(seen: Sequence[Tenant] | None, wanted: Sequence[Tenant]) -> list[Tenant]:
    """Whom a reader may see who saw only ``seen`` (None: everybody) and shall see no more than ``wanted``."""
    return [tenant for tenant in dict.fromkeys(wanted) if seen is None or tenant in seen]


def asked(seen: Sequence[Tenant] | None, tenant: Tenant | None) -> Sequence[Tenant] | None:
    """Whom a question is about, of those a reader may see. None: everybody there is."""
    return seen if tenant is None else narrowed(seen, [tenant])


def page(found: list[Row], limit: int, wanted: RowFilter, window: Callable[[], Window | None]) -> Page:
    """A page of what was found; ``window`` is only asked when that did not fill it.

    It was then the end, or the end of what one page looks at.
    """
    if len(found) == limit:
        return Page(rows=found, next=found[-1].seq, scanned_to=found[-1].notification.received_at)
    seen = window()
    if seen is None:
        return Page(rows=found, next=None, scanned_to=None)
    too_old = wanted.since is not None and seen.received_at < wanted.since - DISORDER
    ended = seen.scanned < SCAN_ROWS or too_old
    return Page(rows=found, next=None if ended else seen.lowest_seq, scanned_to=seen.received_at)


def died(wanted: DeadFilter) -> dict[str, object]:
    """Values of a statement that counts dead rows by reason: the filter's, and how many rows it may look at."""
    return {
        "reason": wanted.reason,
        "since": 0 if wanted.since is None else to_millis(wanted.since),
        "until": LARGEST_SEQ if wanted.until is None else to_millis(wanted.until),
        "scan": GROUPED_ROWS + 1,
        "groups": LARGEST_GROUPS,
    }


def by_reason(rows: Sequence[Sequence[Any]]) -> ByReason:
    """From how many rows were looked at, and (reason, count, first, last) in milliseconds of each group."""
    (looked_at, *_), *groups = rows
    return ByReason(
        reasons=[
            ReasonCount(reason=reason, count=count, first_at=from_millis(first), last_at=from_millis(last))
            for reason, count, first, last in groups
        ],
        complete=looked_at <= GROUPED_ROWS,
    )
