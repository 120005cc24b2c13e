"""What comes back from outside is a place that a store gave, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import InvalidCursor
from subscriber.store import cursors

NUMBERS = st.lists(st.integers(0, cursors.LARGEST), min_size=1, max_size=3)


@given(NUMBERS)
def test_a_place_survives_its_cursor(numbers: list[int]) -> None:
    assert cursors.read(cursors.written(numbers), len(numbers)) == tuple(numbers)


def test_the_empty_cursor_is_before_everything() -> None:
    assert cursors.read("", 2) == (0, 0)


@given(st.text(), st.integers(1, 3))
def test_any_text_is_a_place_or_refused(text: str, count: int) -> None:
    try:
        numbers = cursors.read(text, count)
    except InvalidCursor:
        return
    assert text in ("", cursors.written(numbers))


@pytest.mark.parametrize("cursor", ["1", "1-2-3", "01-1", "1-x", "1-²", "1-2 ", f"1-{2**63}", "9" * 10_000])
def test_what_no_store_has_written_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor) as refusal:
        cursors.read(cursor, 2)
    assert cursor not in str(refusal.value)
