"""The memory of the last callback."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.model import EPOCH, to_millis
from subscriber.platforms.pelion.resends import Last, category_mark, mark, number_from, number_value

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
VALUES, GONE = category_mark("notifications"), category_mark("de-registrations")
MARKS = st.dictionaries(
    st.binary(min_size=8, max_size=8), st.lists(st.binary(min_size=8, max_size=8), max_size=5).map(b"".join)
)


def marks(*contents: bytes) -> bytes:
    return b"".join(mark(content.ljust(16)) for content in contents)


@given(st.integers(0, 2**48 - 1), MARKS)
def test_what_is_remembered_is_read_again(number: int, remembered: dict[bytes, bytes]) -> None:
    last = Last(number, NOW, remembered)
    assert Last.read(last.value) == last


def test_there_is_nothing_to_remember_at_first() -> None:
    assert Last.read(b"") == Last(0, EPOCH, {}) and number_from(b"") == 0


@pytest.mark.parametrize("damage", [b"x", b"12345678", bytes(30)])
def test_a_memory_that_was_not_made_here_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        Last.read(Last(5, NOW, {VALUES: marks(b"a")}).value + damage)


def test_a_callback_that_begins_with_all_of_the_last_one_may_be_that_one() -> None:
    last = Last(5, NOW, {VALUES: marks(b"a", b"b"), GONE: marks(b"c")})
    assert last.begins({VALUES: marks(b"a", b"b"), GONE: marks(b"c")})
    assert last.begins({VALUES: marks(b"a", b"b", b"d"), GONE: marks(b"c", b"a")})
    assert last.begins({VALUES: marks(b"a", b"b"), GONE: marks(b"c"), category_mark("reg-updates"): marks(b"e")})


@pytest.mark.parametrize(
    "other",
    [
        {},
        {VALUES: marks(b"a", b"b")},
        {VALUES: marks(b"a"), GONE: marks(b"c")},
        {VALUES: marks(b"b", b"a"), GONE: marks(b"c")},
        {VALUES: marks(b"x", b"a", b"b"), GONE: marks(b"c")},
        {GONE: marks(b"a", b"b"), VALUES: marks(b"c")},
    ],
)
def test_any_other_is_another_one(other: dict[bytes, bytes]) -> None:
    assert not Last(5, NOW, {VALUES: marks(b"a", b"b"), GONE: marks(b"c")}).begins(other)


def test_nothing_begins_with_nothing() -> None:
    assert not Last(5, NOW, {}).begins({VALUES: marks(b"a")})


def test_numbers_only_grow_and_begin_at_the_time() -> None:
    assert Last(0, EPOCH, {}).next_number(NOW) == to_millis(NOW)
    assert Last(5, NOW, {}).next_number(NOW) == 6
    assert number_from(number_value(6)) == 6
