"""When being away has cost something."""

from __future__ import annotations

from datetime import timedelta

from subscriber.store.absence import absence
from tests.store.making import START

HORIZON = timedelta(days=4)


def test_nothing_is_lost_while_the_platform_keeps_trying() -> None:
    assert absence("mindsphere", START, START + HORIZON, HORIZON) is None


def test_what_the_platform_gave_up_before_we_came_back_is_lost() -> None:
    gap = absence("mindsphere", START, START + timedelta(days=10), HORIZON)
    assert gap is not None
    assert (gap.platform, gap.tenant, gap.reason) == ("mindsphere", None, "away")
    assert (gap.lost_from, gap.lost_until) == (START, START + timedelta(days=6))
    assert gap.noticed_at == START + timedelta(days=10)


def test_a_clock_that_went_back_loses_nothing() -> None:
    assert absence("mindsphere", START, START - timedelta(days=10), HORIZON) is None
