"""Conversations as sources of channels: where they are remembered, and when a connection is made anew."""

from __future__ import annotations

from subscriber.channels.conversations import SESSION, fact_name
from tests.channels.talking import conversation


def test_the_address_tells_conversations_of_one_tenant_and_x_id_apart() -> None:
    one, other = conversation(""), conversation("", "/alarms/1", path="/notification/realtime")
    assert one.place != other.place
    assert one.place[:2] == other.place[:2]
    assert fact_name(one.place, SESSION) == "/notification/operations session"


def test_a_new_password_leaves_the_conversation_alone_and_other_channels_do_not() -> None:
    wiring = conversation("").wiring
    assert conversation("", password="other").wiring == wiring
    assert conversation("", "/5011").wiring != wiring
    assert hash(wiring) == hash(conversation("").wiring)


def test_a_conversation_runs_in_one_instance_only() -> None:
    assert conversation("").exclusive


def test_a_password_is_never_shown() -> None:
    assert "pw-1" not in repr(conversation(""))
