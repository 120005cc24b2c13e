"""The first page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from subscriber.model import Done
from subscriber.store import Counter
from subscriber.web.console.overview import figures
from subscriber.web.console.periods import PERIODS
from tests.store.making import lease_all, notification
from tests.web.console.world import ACME, OTHER, World


def test_the_oldest_that_waits_comes_first_with_its_age_and_its_rows(world: World) -> None:
    world.store.inbox.add([notification(tenant=ACME)])
    world.clock.advance(minutes=12, seconds=5)
    text = world.get().text
    assert text.index("12 min 5 s") < text.index("<h2")
    assert '<a href="./inbox?state=pending">12 min 5 s</a>' in text
    assert "2026-03-01 12:00:00 UTC" in text


def test_nothing_is_said_to_wait_when_nothing_does(world: World) -> None:
    assert "Nothing waits" in world.get().text


def test_every_number_leads_to_its_rows(furnished: World) -> None:
    text = furnished.get().text
    links = dict(re.findall(r'<a href="\./([^"]*)">([\d,]+)</a>', text))
    counts = furnished.store.reports.counts()
    assert links["inbox?state=pending"] == str(counts.pending)
    assert links["dead?"] == str(counts.dead)
    assert links["letters?"] == str(counts.dead_letters)
    assert links["inbox?state=done"] == str(counts.done)
    for address in links:
        assert furnished.get(address.replace("&amp;", "&")).status_code == 200


@pytest.mark.parametrize("period", list(PERIODS))
def test_each_chart_has_a_name_a_description_and_the_same_counts_as_a_table(furnished: World, period: str) -> None:
    text = furnished.get(f"?period={period}").text
    assert text.count('role="img"') == text.count("<title id=") == text.count("<desc id=") == 6
    assert text.count('<table class="figures">') == 6


def test_charts_count_what_happened_in_the_period(world: World) -> None:
    world.store.inbox.add([notification("old")])
    world.clock.advance(hours=2)
    world.store.inbox.add([notification("new"), notification("new")])
    for attempt in lease_all(world.store):
        world.store.inbox.settle(attempt, Done())

    def totals(period: str) -> dict[str, int]:
        shown = figures(world.store.reports, world.clock(), PERIODS[period], refusals=True)
        return {figure.series.event: figure.series.total for figure in shown if figure.series.total}

    assert totals("1h") == {Counter.ACCEPTED: 1, Counter.DUPLICATE: 1, Counter.DONE: 2}
    assert totals("24h") == totals("7d") == {Counter.ACCEPTED: 2, Counter.DUPLICATE: 1, Counter.DONE: 2}


def test_strangers_that_were_refused_are_shown_to_the_host_alone(furnished: World) -> None:
    assert "<h3>Refused</h3>" in furnished.get().text
    assert "<h3>Refused</h3>" not in furnished.get(tenant=OTHER.name).text


def test_an_unknown_period_is_refused(world: World) -> None:
    answer = world.get("?period=9d")
    assert (answer.status_code, "period is one of 1h, 24h, 7d" in answer.text) == (400, True)


def test_the_foot_says_as_of_when(world: World) -> None:
    world.clock.advance(**{"seconds": timedelta(minutes=5).total_seconds()})
    assert "As of <time" in world.get().text and "12:05:00 UTC" in world.get().text
