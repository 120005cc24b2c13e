"""Names follow the convention, and bodies have the published shapes."""

from __future__ import annotations

import re
from random import Random

import pytest

from emulator.mindsphere.topics import TOPICS, Composer, full_name, is_postbox, iso, provisioning, valid

MILLIS = 1_760_000_000_118
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def composer() -> Composer:
    return Composer(Random("fixed"), 50)


@pytest.mark.parametrize("topic", [*TOPICS.values(), "mdsp.core.am.v1.postbox.asset.deleted"])
def test_the_known_topics_follow_the_convention(topic: str) -> None:
    assert valid(topic, strict=True)


@pytest.mark.parametrize(
    "topic",
    ["", "mdsp.core.x.v1.pubsub", "mdsp.core.x.1.pubsub.y", "mdsp.core.x.v1.queue.y", "MDSP.core.x.v1.pubsub.y"]
    + ["mdsp.core.x.v1.pubsub.y\n", "mdsp.core.x.v1.pubsub." + "y" * 255],
)
def test_other_names_do_not(topic: str) -> None:
    assert not valid(topic, strict=False)


def test_empty_segments_pass_only_the_published_pattern() -> None:
    assert valid("mdsp.core.x.v1.pubsub.a..b.", strict=False)
    assert not valid("mdsp.core.x.v1.pubsub.a..b.", strict=True)


def test_short_words_stand_for_topics() -> None:
    assert full_name("asset") == TOPICS["asset"]
    assert full_name("mdsp.core.x.v1.pubsub.y") == "mdsp.core.x.v1.pubsub.y"
    assert is_postbox("mdsp.core.am.v1.postbox.asset.deleted") and not is_postbox(TOPICS["asset"])


@pytest.mark.parametrize(
    ("word", "member", "resource"),
    [
        ("aspecttype", "aspectType", "ASPECT_TYPE"),
        ("assettype", "assetType", "ASSET_TYPE"),
        ("asset", "asset", "ASSET"),
    ],
)
def test_a_change_names_what_changed_and_how(composer: Composer, word: str, member: str, resource: str) -> None:
    payload = composer.payload(TOPICS[word], "custaa", MILLIS)
    assert list(payload) == [member]
    change = payload[member]
    assert isinstance(change, dict)
    assert set(change) == {"id", "resource", "action", "tenant", "timestamp"}
    assert change["resource"] == resource and change["tenant"] == "custaa"
    assert change["action"] in ("CREATE", "UPDATE", "DELETE")
    assert change["timestamp"] == "2025-10-09T08:53:20.118Z"


def test_events_are_ids_and_times_only(composer: Composer) -> None:
    """C14: several in one message."""
    events = composer.payload(TOPICS["eventnotification"], "custaa", MILLIS, items=3)["events"]
    assert isinstance(events, list) and len({event["id"] for event in events}) == 3
    assert all(set(event) == {"id", "assetId", "timestamp"} for event in events)


def test_time_series_name_asset_aspect_and_span(composer: Composer) -> None:
    series = composer.payload(TOPICS["timeseries"], "custaa", MILLIS)["timeseries"]
    assert isinstance(series, list) and len(series) == 1
    assert set(series[0]) == {"assetId", "aspectName", "aspectTypeId", "from", "to", "timestamp"}
    assert series[0]["from"] < series[0]["to"] < series[0]["timestamp"]


def test_provisioning_names_the_user_tenant() -> None:
    """C15"""
    body = provisioning("PROVISIONED", "acmeop", "custbb", ("alarmapi", "v1.4.2"), "id", MILLIS)["provisioning"]
    assert isinstance(body, dict)
    assert (body["action"], body["tenant"], body["userTenant"]) == ("PROVISIONED", "acmeop", "custbb")
    assert body["application"] == {"name": "alarmapi", "version": "v1.4.2"}


def test_an_unknown_topic_has_a_body_too(composer: Composer) -> None:
    assert list(composer.payload("mdsp.core.x.v1.pubsub.y", "custaa", MILLIS)) == ["data"]


def test_the_same_seed_composes_the_same_bodies() -> None:
    both = [Composer(Random("s"), 50).payload(TOPICS["asset"], "custaa", MILLIS) for _ in range(2)]
    assert both[0] == both[1]


def test_a_tenants_assets_are_a_fleet_of_stable_size(composer: Composer) -> None:
    ours = {composer.asset_id("custaa") for _ in range(2000)}
    assert len(ours) == 50
    assert ours.isdisjoint(composer.asset_id("custbb") for _ in range(100))


def test_times_are_printed_to_the_millisecond() -> None:
    assert iso(MILLIS - 118) == "2025-10-09T08:53:20.000Z"
    assert ISO.fullmatch(iso(7))
