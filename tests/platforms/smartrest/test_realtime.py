"""What is asked for of one X-Id."""

from __future__ import annotations

from subscriber.platforms.smartrest import messages
from subscriber.platforms.smartrest.realtime import OWN_IDS, Template
from tests.platforms.smartrest.conversing import X_ID, realtime

REALTIME = "/notification/realtime"


def test_the_kind_of_an_agent_s_channel_is_operations() -> None:
    assert (realtime("/5010").topic, realtime("/5010").source) == ("operations", "5010")
    assert realtime("/5010", "/5011", path="/devicecontrol/notifications").topic == "operations"


def test_kind_and_device_are_those_that_all_channels_share() -> None:
    assert (realtime("/alarms/208", path=REALTIME).topic, realtime("/alarms/208", path=REALTIME).source) == (
        "alarms",
        "208",
    )
    mixed = realtime("/alarms/208", "/events/208", path=REALTIME)
    assert (mixed.topic, mixed.source) == ("unknown", "208")
    assert realtime("/alarms/208", "/alarms/209", path=REALTIME).source == ""
    assert realtime("/alarms/*", path="/cep/realtime").source == ""


def test_all_collections_in_play_are_named_once_the_header_s_first() -> None:
    assert realtime("/1", "/2", x_ids=("b", X_ID)).x_ids == (X_ID, "b")


def test_a_collection_can_be_registered_when_every_path_is_known() -> None:
    known = Template(x_id=X_ID, id="500", columns=("id",), paths=("$.id",))
    unknown = Template(x_id=X_ID, id="501", columns=("id",))
    assert realtime(templates=[known]).registrable(X_ID)
    assert not realtime(templates=[known, unknown]).registrable(X_ID)
    assert not realtime(templates=[known]).registrable("other")


def test_no_template_may_have_an_id_that_the_conversation_uses() -> None:
    assert messages.ERRORS | {messages.FOUND, messages.ADVICE, messages.GROUP, messages.BATCH} == OWN_IDS
