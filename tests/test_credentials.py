"""The age of credentials: counted from their first use, over restarts, without a trace of the secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import migrations
from subscriber.credentials import VALID_DAYS, WARN_DAYS, Credentials
from subscriber.errors import CredentialsOld
from subscriber.store import Store, open_store
from tests.dispatcher.stories import NOW, TurnableClock

CLIENT_ID = "acmeop-alarmapi-v1.4.2"


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    return url


@pytest.fixture
def store(url: str, clock: TurnableClock) -> Iterator[Store]:
    store = open_store(url, clock=clock)
    yield store
    store.close()


@pytest.fixture
def credentials(store: Store, clock: TurnableClock) -> Credentials:
    return Credentials(CLIENT_ID, store.registry, clock)


def test_credentials_never_used_are_young(credentials: Credentials) -> None:
    assert credentials.age_days() == 0
    credentials.require_young()
    assert credentials.finding().ok


def test_their_first_use_counts_and_no_later_one(credentials: Credentials, clock: TurnableClock) -> None:
    credentials.see()
    clock.forward(hours=36)
    credentials.see()
    assert credentials.age_days() == 1.5


def test_the_first_use_is_remembered_over_a_restart(
    credentials: Credentials, url: str, store: Store, clock: TurnableClock
) -> None:
    credentials.see()
    store.close()
    clock.forward(days=40)
    again = open_store(url, clock=clock)
    try:
        assert Credentials(CLIENT_ID, again.registry, clock).age_days() == 40
    finally:
        again.close()


def test_a_month_before_their_end_somebody_has_to_act(credentials: Credentials, clock: TurnableClock) -> None:
    credentials.see()
    clock.forward(days=WARN_DAYS, seconds=-1)
    credentials.require_young()
    assert credentials.finding().ok
    clock.forward(seconds=1)
    assert VALID_DAYS - WARN_DAYS == 30
    with pytest.raises(CredentialsOld, match="first used here 335 days ago, valid for 365: issue new ones"):
        credentials.require_young()
    assert not credentials.finding().ok


def test_another_version_and_a_handover_start_anew(
    credentials: Credentials, store: Store, clock: TurnableClock
) -> None:
    credentials.see()
    clock.forward(days=350)
    for client_id in ("acmeop-alarmapi-v1.5.0", "acmedv-alarmapi-v1.4.2"):
        other = Credentials(client_id, store.registry, clock)
        other.see()
        assert other.age_days() == 0


def test_credentials_issued_anew_under_the_same_client_id_count_from_then(
    credentials: Credentials, clock: TurnableClock
) -> None:
    credentials.see()
    clock.forward(days=350)
    credentials.renew()
    clock.forward(days=2)
    credentials.see()
    assert credentials.age() == timedelta(days=2)


def test_a_clock_that_was_set_back_makes_nobody_younger_than_new(
    credentials: Credentials, clock: TurnableClock
) -> None:
    credentials.see()
    clock.now = NOW - timedelta(days=1)
    assert credentials.age_days() == 0
