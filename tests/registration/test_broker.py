"""The calls: whose token, which verb, what an answer means."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from subscriber.errors import PlatformRefused
from subscriber.registration.broker import Broker
from subscriber.registration.patience import Patience
from subscriber.settings import Settings
from subscriber.token_manager import open_gateway
from tests.registration.conftest import ASSETS, EVENTS, HOST, subscription
from tests.small_platform import LIST_PATH, TOKEN_PATH, SmallPlatform, refusal


@pytest.fixture
def broker(platform: SmallPlatform) -> Iterator[Broker]:
    settings = Settings.from_environ(platform.environ()).mindsphere
    assert settings is not None
    gateway = open_gateway(settings, stop=threading.Event(), jitter=lambda: 0.0)
    broker = Broker(gateway, settings.broker_path, HOST.name, Patience(threading.Event().wait, lambda: 0.0))
    yield broker
    broker.close()


def test_a_subscription_is_made_confirmed_and_removed_in_its_tenant_s_name(
    broker: Broker, platform: SmallPlatform
) -> None:
    broker.subscribe(subscription())
    assert platform.subscriptions == {("custaa", EVENTS): "https://g/one"}
    assert broker.holds(subscription()) and not broker.holds(subscription(uri="https://g/two"))
    broker.unsubscribe(subscription())
    assert platform.subscriptions == {} and not broker.holds(subscription())


def test_the_path_names_the_subscription_s_own_version(broker: Broker, platform: SmallPlatform) -> None:
    broker.unsubscribe(subscription(version="v1.3.0"))
    assert "/subscribers/alarmapi/versions/v1.3.0/topics/" in platform.calls[-1].path


def test_removing_what_is_gone_is_fine(broker: Broker) -> None:
    broker.unsubscribe(subscription())


def test_a_broker_that_takes_no_put_is_asked_by_post_from_then_on(broker: Broker, platform: SmallPlatform) -> None:
    platform.refused_verbs = {"PUT"}
    broker.subscribe(subscription())
    broker.subscribe(subscription(topic=ASSETS))
    assert platform.methods("/topics/") == {"PUT": 1, "POST": 2}


def test_a_broker_that_takes_neither_verb_is_named(broker: Broker, platform: SmallPlatform) -> None:
    platform.refused_verbs = {"PUT", "POST"}
    with pytest.raises(PlatformRefused) as caught:
        broker.subscribe(subscription())
    assert caught.value.reason == "verb_refused"


def test_the_list_is_read_page_by_page_with_the_hosts_token(broker: Broker, platform: SmallPlatform) -> None:
    platform.tenants = [f"cust{number:03}" for number in range(250)]
    assert broker.tenants().names == tuple(platform.tenants)
    asked = [(call.tenant, call.path) for call in platform.calls if call.path.startswith(LIST_PATH)]
    assert asked == [("acmeop", f"{LIST_PATH}?page={page}&size=100") for page in range(3)]


def test_a_refused_list_says_what_it_needs(broker: Broker, platform: SmallPlatform) -> None:
    platform.pages = lambda page: (403, refusal("forbidden"))
    with pytest.raises(PlatformRefused, match="host tenant's token"):
        broker.tenants()


def test_a_probe_asks_for_a_token_and_nothing_else(broker: Broker, platform: SmallPlatform) -> None:
    broker.probe()
    assert [call.path for call in platform.calls] == [TOKEN_PATH]
