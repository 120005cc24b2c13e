"""Bytes of frames and ids."""

from __future__ import annotations

from base64 import b64decode

import pytest

from emulator.cumulocity.frames import ack_id, description, frame


@pytest.mark.parametrize(("ledger", "entry", "raw"), [(1, 0, "0801100020003001"), (300, 128, "08ac0210800120003001")])
def test_an_ack_id_is_an_engines_message_id_in_padded_base64(ledger: int, entry: int, raw: str) -> None:
    """N2-5.4"""
    assert b64decode(ack_id(ledger, entry)).hex() == raw


def test_the_vendors_example_is_made_of_the_same_parts() -> None:
    """N2-5.4: an id in the form the vendor prints."""
    assert ack_id(73_211, 0) == "CPu7BBAAIAAwAQ=="


def test_a_frame_is_its_lines() -> None:
    """N2-5.3"""
    described = description("t1", "alarms", "7")
    assert frame("id", described, "CREATE", b"{}") == b"id\n/t1/alarms/7\nCREATE\n\n{}"
    assert frame("id", described, "CREATE", b"{}", "x: 1") == b"id\n/t1/alarms/7\nCREATE\nx: 1\n\n{}"
