"""What is remembered of a channel, and from when to when something may be lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from subscriber.model import Tenant
from subscriber.pelion.standing import Standing
from subscriber.platforms.pelion_api import Account
from subscriber.store import Store
from tests.pelion.conftest import CELLAR
from tests.store.making import START, Clock, notification


@pytest.fixture
def made() -> list[tuple[Tenant, bool]]:
    return []


@pytest.fixture
def standing(store: Store, clock: Clock, made: list[tuple[Tenant, bool]]) -> Standing:
    return Standing(store, clock, lambda tenant, instead: made.append((tenant, instead)))


def test_a_channel_nobody_registered_did_not_stand(standing: Standing) -> None:
    assert standing.before(CELLAR) is None
    standing.stands(CELLAR)
    assert standing.before(CELLAR) == START


def test_a_channel_that_was_given_up_is_not_missed(standing: Standing, store: Store) -> None:
    standing.made(CELLAR, None)
    standing.note_account(CELLAR, Account("f" * 32, "0"))
    standing.ended(CELLAR)
    assert (standing.before(CELLAR), standing.account(CELLAR)) == (None, None)


def test_a_first_channel_is_no_gap(standing: Standing, store: Store, made: list[tuple[Tenant, bool]]) -> None:
    standing.made(CELLAR, standing.before(CELLAR))
    assert (store.registry.gaps(), made) == ([], [(CELLAR, False)])


def gap_hours(standing: Standing, store: Store, clock: Clock, hours: float) -> tuple[float, float]:
    """The channel turns out to be gone after so many hours: from and until, in hours since the start."""
    before = standing.before(CELLAR)
    clock.advance(hours=hours)
    standing.made(CELLAR, before)
    gap = store.registry.gaps()[0]
    assert (gap.tenant, gap.platform, gap.channel, gap.reason) == (CELLAR, "pelion", "cellar", "channel_removed")
    hour = timedelta(hours=1)
    return (gap.lost_from - START) / hour, (gap.lost_until - START) / hour


def test_nothing_is_missed_from_before_the_channel_was_registered(
    standing: Standing, store: Store, clock: Clock, made: list[tuple[Tenant, bool]]
) -> None:
    standing.made(CELLAR, None)
    standing.stands(CELLAR)
    assert gap_hours(standing, store, clock, 30) == (0, 30)
    assert made[-1] == (CELLAR, True)


def test_nothing_is_missed_from_more_than_a_day_before_it_was_last_seen(
    standing: Standing, store: Store, clock: Clock
) -> None:
    standing.made(CELLAR, None)
    clock.advance(hours=100)
    standing.stands(CELLAR)
    assert gap_hours(standing, store, clock, 2) == (76, 102)


def test_nothing_is_missed_from_before_the_last_notification_that_came(
    standing: Standing, store: Store, clock: Clock
) -> None:
    standing.made(CELLAR, None)
    standing.stands(CELLAR)
    clock.advance(hours=10)
    store.inbox.add([notification(tenant=CELLAR, received_at=clock())])
    assert gap_hours(standing, store, clock, 20) == (10, 30)


def test_nothing_is_missed_from_while_a_connection_stood(standing: Standing, store: Store, clock: Clock) -> None:
    standing.stands(CELLAR)
    before = standing.before(CELLAR)
    clock.advance(hours=50)
    standing.made(CELLAR, before, START + timedelta(hours=49))
    (gap,) = store.registry.gaps()
    assert gap.lost_from == START + timedelta(hours=49)


def test_an_account_is_noted_once_for_each_registration(standing: Standing) -> None:
    assert standing.account(CELLAR) is None
    standing.made(CELLAR, None)
    standing.note_account(CELLAR, Account("f" * 32, "0"))
    assert standing.account(CELLAR) == Account("f" * 32, "0")
    standing.made(CELLAR, None)
    assert standing.account(CELLAR) is None
