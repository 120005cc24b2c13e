"""The registrars there are, by the settings."""

from __future__ import annotations

import threading

import pytest

from subscriber.errors import PlatformUnavailable
from subscriber.registrars import open_registrars, platforms
from subscriber.settings import Settings
from subscriber.store import Store
from tests.small_platform import SmallPlatform
from tests.store.conftest import clock, path, store, url

__all__ = ["clock", "path", "store", "url"]

CUMULOCITY = {
    "C8Y_BASEURL": "http://127.0.0.1:1",
    "C8Y_TENANT": "t123",
    "C8Y_USER": "service",
    "C8Y_PASSWORD": "secret",
    "C8Y_MICROSERVICE_ISOLATION": "PER_TENANT",
    "APPLICATION_NAME": "alarmapi",
    "C8Y_SUBSCRIPTIONS": '[{"name":"a","subscriber":"s","context":"tenant","apis":["alarms"]}]',
}
REALTIME = {"C8Y_REALTIME": '[{"tenant":"t123","path":"/notification/operations","x_id":"x","channels":["/5010"]}]'}
PELION = {"PELION_CHANNELS": '[{"name":"cellar","api_key":"ak_1","mode":"websocket"}]'}
AWAY_PELION = {
    "PELION_CHANNELS": '[{"name":"cellar","api_key":"ak_1","mode":"websocket","host":"http://127.0.0.1:1"}]'
}


def opened(store: Store, environ: dict[str, str]) -> list[str]:
    settings = Settings.from_environ(environ)
    with open_registrars(settings, store, threading.Event(), by_hand=False) as registrars:
        found = [one.platform for one in registrars]
    assert found == platforms(settings, store)
    return found


def test_there_is_one_for_each_platform_that_is_on(store: Store) -> None:
    with SmallPlatform() as small:
        assert opened(store, {}) == []
        assert opened(store, small.environ()) == ["mindsphere"]
        assert opened(store, {**small.environ(), **CUMULOCITY}) == ["mindsphere", "cumulocity"]
        everything = {**small.environ(), **CUMULOCITY, **REALTIME, **PELION}
        assert opened(store, everything) == ["mindsphere", "cumulocity", "smartrest", "pelion"]


def test_a_platform_where_nothing_is_subscribed_has_none(store: Store) -> None:
    assert opened(store, {**CUMULOCITY, "C8Y_SUBSCRIPTIONS": ""}) == []


def test_only_those_that_are_asked_for_are_opened(store: Store) -> None:
    settings = Settings.from_environ({**CUMULOCITY, **REALTIME, **PELION})
    with open_registrars(settings, store, threading.Event(), by_hand=True, of=["pelion", "mindsphere"]) as (only,):
        assert only.platform == "pelion"


@pytest.mark.parametrize("environ", [CUMULOCITY, AWAY_PELION], ids=["cumulocity", "pelion"])
def test_who_waits_hears_at_once_that_a_platform_does_not_answer(store: Store, environ: dict[str, str]) -> None:
    heard: list[PlatformUnavailable] = []
    stop = threading.Event()

    def told(error: PlatformUnavailable) -> None:
        heard.append(error)
        stop.set()  # enough of waiting

    settings = Settings.from_environ(environ)
    with open_registrars(settings, store, stop, by_hand=True, told=told) as (registrar,):
        registrar.run()
    assert [error.reason for error in heard] == ["unreachable"]
