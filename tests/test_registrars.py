"""The registrars there are, by the settings."""

from __future__ import annotations

import threading

from subscriber.registrars import open_registrars
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


def platforms(store: Store, environ: dict[str, str]) -> list[str]:
    with open_registrars(Settings.from_environ(environ), store, threading.Event()) as registrars:
        return [one.platform for one in registrars]


def test_there_is_one_for_each_platform_that_is_on(store: Store) -> None:
    with SmallPlatform() as small:
        assert platforms(store, {}) == []
        assert platforms(store, small.environ()) == ["mindsphere"]
        assert platforms(store, {**small.environ(), **CUMULOCITY}) == ["mindsphere", "cumulocity"]


def test_a_platform_where_nothing_is_subscribed_has_none(store: Store) -> None:
    assert platforms(store, {**CUMULOCITY, "C8Y_SUBSCRIPTIONS": ""}) == []
