"""What is kept of a session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.platforms.smartrest.memory import Memory

FULL = Memory(
    client_id="3k9x0q7w",
    subscribed={"/5010": ("b", "c"), "/5011": ()},
    acknowledged=True,
    batch="-1",
    numbered=True,
    covered=True,
    lost=True,
)


def test_a_session_is_remembered_whole() -> None:
    assert Memory.parse(FULL.value) == FULL


def test_without_a_session_there_is_nothing_to_keep() -> None:
    assert Memory(numbered=True).value == b""
    assert Memory.parse(b"") == Memory()


def test_that_a_session_got_lost_is_kept_until_another_covers_us() -> None:
    assert Memory.parse(Memory(lost=True).value).lost


def test_the_client_id_is_not_shown() -> None:
    assert "3k9x0q7w" not in repr(FULL)


@pytest.mark.parametrize(
    "value", [b"x", b"[]", b"{}", b"null", FULL.value.replace(b"3k9x", b"3k 9x"), FULL.value.replace(b"-1", b"one")]
)
def test_a_strange_value_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not the memory"):
        Memory.parse(value)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_memory_or_refused(value: bytes) -> None:
    try:
        Memory.parse(value)
    except ValueError:
        pass
