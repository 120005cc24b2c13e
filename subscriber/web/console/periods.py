"""The times a chart can show, and counters added up for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from subscriber.model import EPOCH
from subscriber.store import Counter

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Period:
    """``bar``: what one bar of a chart stands for; ``row``: what one row of its table does."""

    name: str
    words: str
    span: timedelta
    bar: timedelta
    row: timedelta


PERIODS = {
    period.name: period
    for period in (
        Period("1h", "the last hour", timedelta(hours=1), MINUTE, 5 * MINUTE),
        Period("24h", "the last 24 hours", timedelta(hours=24), 15 * MINUTE, timedelta(hours=2)),
        Period("7d", "the last 7 days", timedelta(days=7), timedelta(hours=1), timedelta(hours=12)),
    )
}


@dataclass(frozen=True, slots=True)
class Series:
    """One event counted over a period. ``bars`` are a minute's share of each, ``rows`` whole counts."""

    event: str
    since: datetime
    until: datetime
    bars: Sequence[float]
    rows: Sequence[tuple[datetime, int]]
    total: int

    @property
    def peak(self) -> float:
        return max(self.bars, default=0.0)


def since(period: Period, now: datetime) -> datetime:
    """When the period's first bar begins; bars begin at whole multiples of their length."""
    return floor(now, period.bar) - period.span + period.bar


def series(period: Period, now: datetime, counted: Iterable[tuple[datetime, str, int]]) -> dict[str, Series]:
    """Every event's, also of those that did not happen. ``counted``: (time, event, count), nothing before ``since``.

    The last bar is not over: it is divided by the minutes it has had.
    """
    begin = since(period, now)
    found = {event: Sums(period, begin, now) for event in EVENTS}
    for at, event, count in counted:
        if event in found and begin <= at <= now:
            found[event].add(at, count)
    return {event: sums.series(event) for event, sums in found.items()}


EVENTS = (Counter.ACCEPTED, Counter.DUPLICATE, Counter.REFUSED, Counter.DONE, Counter.DEAD, Counter.DEAD_LETTER)


class Sums:
    """One event's counts on their way into bars and rows."""

    def __init__(self, period: Period, begin: datetime, now: datetime) -> None:
        self._period, self._begin, self._now = period, begin, now
        self._bars = [0] * round(period.span / period.bar)
        first = floor(begin, period.row)
        self._rows = dict.fromkeys(first + n * period.row for n in range(int((now - first) / period.row) + 1))

    def add(self, at: datetime, count: int) -> None:
        self._bars[int((at - self._begin) / self._period.bar)] += count
        row = floor(at, self._period.row)
        self._rows[row] = (self._rows[row] or 0) + count

    def series(self, event: str) -> Series:
        return Series(
            event=event,
            since=self._begin,
            until=self._now,
            bars=[count / self._minutes(place) for place, count in enumerate(self._bars)],
            rows=[(at, count or 0) for at, count in self._rows.items()],
            total=sum(self._bars),
        )

    def _minutes(self, place: int) -> float:
        begun = self._begin + place * self._period.bar
        return max(1.0, -(-min(self._period.bar, self._now - begun) // MINUTE))


def floor(at: datetime, step: timedelta) -> datetime:
    """The last whole multiple of ``step`` that is not after a time, counted from 1970."""
    return EPOCH + (at - EPOCH) // step * step
