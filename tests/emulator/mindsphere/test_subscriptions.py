"""A subscription is one per context, topic, subscriber and version."""

from __future__ import annotations

import pytest

from emulator.journal import Journal
from emulator.mindsphere.subscriptions import Key, Subscriptions

TOPIC = "mdsp.core.x.v1.pubsub.y"
KEY = Key("custaa", TOPIC, "alarmapi", "v1.4.2")


@pytest.fixture
def subscriptions(journal: Journal) -> Subscriptions:
    return Subscriptions(journal)


def test_putting_again_changes_the_uri_of_the_same_one(subscriptions: Subscriptions) -> None:
    """C5"""
    assert subscriptions.put(KEY, "http://one")
    number = subscriptions.matching(["custaa"], TOPIC)[0].id
    assert not subscriptions.put(KEY, "http://two")
    (found,) = subscriptions.matching(["custaa"], TOPIC)
    assert (found.id, found.uri) == (number, "http://two")


@pytest.mark.parametrize(
    "other",
    [
        KEY._replace(tenant="custbb"),
        KEY._replace(topic=TOPIC + ".z"),
        KEY._replace(subscriber="other"),
        KEY._replace(version="v1.5.0"),
    ],
)
def test_every_part_of_the_key_makes_another_one(subscriptions: Subscriptions, other: Key) -> None:
    """C6, C7"""
    subscriptions.put(KEY, "http://one")
    assert subscriptions.put(other, "http://one")


def test_only_the_messages_context_and_topic_match(subscriptions: Subscriptions) -> None:
    """C9"""
    for tenant in ("custaa", "custbb"):
        subscriptions.put(KEY._replace(tenant=tenant), "http://one")
    subscriptions.put(KEY._replace(version="v1.5.0"), "http://one")
    assert len(subscriptions.matching(["custaa"], TOPIC)) == 2
    assert len(subscriptions.matching(["custaa", "custbb", "custaa"], TOPIC)) == 3
    assert subscriptions.matching(["acmeop"], TOPIC) == []
    assert subscriptions.matching(["custaa"], TOPIC + ".z") == []


def test_a_deleted_one_matches_nothing_and_may_be_made_anew(subscriptions: Subscriptions) -> None:
    subscriptions.put(KEY, "http://one")
    first = subscriptions.get(KEY)
    assert first is not None
    subscriptions.delete(first)
    assert subscriptions.get(KEY) is None and subscriptions.matching(["custaa"], TOPIC) == []
    assert not subscriptions.by_id(first.id).active
    assert subscriptions.put(KEY, "http://two")
    assert subscriptions.count("custaa") == 1


def test_they_survive_a_restart(subscriptions: Subscriptions, journal: Journal) -> None:
    """C18"""
    subscriptions.put(KEY, "http://one")
    subscriptions.put(KEY._replace(tenant="custbb"), "http://two")
    subscriptions.delete(subscriptions.of_tenant("custbb")[0])
    again = Subscriptions(journal)
    assert again.get(KEY) == subscriptions.get(KEY)
    assert again.page(0, 10) == subscriptions.page(0, 10)
    assert not again.of_tenant("custbb")


def test_the_listing_comes_in_pages(subscriptions: Subscriptions) -> None:
    for number in range(5):
        subscriptions.put(KEY._replace(topic=f"{TOPIC}{number}"), "http://one")
    first = subscriptions.page(0, 3)
    assert len(first) == 3
    assert len(subscriptions.page(first[-1].id, 3)) == 2
