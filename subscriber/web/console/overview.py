"""The first page: what waits longest, what came and went, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, Response, request

from subscriber.store import Counter, Reports
from subscriber.web.console import charts, health
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import BadForm, Form, read_query
from subscriber.web.console.pages import link
from subscriber.web.console.periods import PERIODS, Period, Series, series, since

# What is counted, and how it is called and explained.
CHARTS = (
    (Counter.ACCEPTED, "Accepted", "notifications that were new and are stored"),
    (Counter.DUPLICATE, "Duplicates", "deliveries of what was stored before: acknowledged, nothing added"),
    (Counter.REFUSED, "Refused", "deliveries that proved nothing: not stored, so there are no rows"),
    (Counter.DONE, "Handled", "notifications whose handler is done"),
    (Counter.DEAD, "Dead", "notifications out of attempts, given up or without a route"),
    (Counter.DEAD_LETTER, "Dead letters", "deliveries that could not be read, or that policy refused"),
)


def add(console: Blueprint, desk: Desk) -> None:
    def overview() -> Response:
        sight = desk.sight()
        period = period_of(read_query(request))
        now = desk.clock()
        oldest = sight.reports.oldest_pending()
        return desk.pages.show(
            "overview",
            sight,
            oldest=oldest,
            waits=None if oldest is None else max(timedelta(0), now - oldest),
            counts=sight.reports.counts(),
            needs=health.needs(desk, sight),
            period=period,
            periods=PERIODS.values(),
            figures=figures(sight.reports, now, period, refusals=sight.everybody),
        )

    console.add_url_rule("/", "overview", overview)


def period_of(query: Form) -> Period:
    """The period an address asks for, one hour if it asks for none."""
    period = PERIODS.get(query.text("period") or "1h")
    if period is None:
        raise BadForm(f"period is one of {', '.join(PERIODS)}")
    return period


QUARTER = timedelta(minutes=15)  # longer bars are made of the store's quarters of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One chart with what belongs to it. ``rows_at``: the page with the rows behind it, empty if none are kept."""

    title: str
    meaning: str
    series: Series
    picture: charts.Picture
    rows_at: str


def figures(reports: Reports, now: datetime, period: Period, *, refusals: bool) -> list[Figure]:
    """Every chart of a period. Refused deliveries belong to no tenant: ``refusals`` shows them too."""
    count = reports.minutes if period.bar < QUARTER else reports.quarters
    found = series(period, now, count(since(period, now)))
    return [
        Figure(
            title=title,
            meaning=meaning,
            series=found[event],
            picture=charts.picture(found[event].bars),
            rows_at=rows_at(found[event]),
        )
        for event, title, meaning in CHARTS
        if refusals or event != Counter.REFUSED
    ]


def rows_at(counted: Series) -> str:
    """Where the rows behind a count are; empty where nothing of it is kept."""
    match counted.event:
        case Counter.ACCEPTED:
            return link("inbox", since=counted.since)
        case Counter.DONE:
            return link("inbox", state="done")
        case Counter.DEAD:
            return link("dead", since=counted.since)
        case Counter.DEAD_LETTER:
            return "letters"
    return ""
