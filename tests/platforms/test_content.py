"""Reading a stranger's JSON, and keys made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import MalformedDelivery
from subscriber.platforms import content

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b'"\\ud800"', b"NaN", b"[" * 2000 + b"]" * 2000])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedDelivery) as caught:
        content.parse(body)
    assert caught.value.reason == "json"


def test_more_values_than_a_process_has_memory_for_are_malformed() -> None:
    dense = b"[" + b"{}," * content.MOST_VALUES + b"{}]"
    with pytest.raises(MalformedDelivery) as caught:
        content.parse(dense)
    assert caught.value.reason == "too_many_values"
    assert len(content.parse(b"[" + b"1," * (content.MOST_VALUES - 3) + b"1]")) == content.MOST_VALUES - 2
    long_text = b'"' + b"x" * 2 * content.MOST_VALUES + b'"'
    assert content.parse(long_text) == "x" * 2 * content.MOST_VALUES


@pytest.mark.parametrize("body", [b'"\\u0000"', b'{"a":["\\u0000"]}', b'{"\\u0000":1}'])
def test_a_nul_in_any_text_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedDelivery) as caught:
        content.parse(body)
    assert caught.value.reason == "nul"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert content.parse(b'"\\\\u0000"') == "\\u0000"


def test_an_object_is_asked_for_where_one_is_needed() -> None:
    assert content.parse_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(MalformedDelivery):
        content.parse_object(b"[1]")


@given(JSON)
def test_the_digest_does_not_depend_on_the_order_of_members(value: object) -> None:
    def reversed_members(value: object) -> object:
        if isinstance(value, dict):
            return {name: reversed_members(value[name]) for name in reversed(value)}
        return [reversed_members(each) for each in value] if isinstance(value, list) else value

    assert content.content_digest("t", value) == content.content_digest("t", reversed_members(value))


def test_digests_of_other_parts_differ() -> None:
    digests = {content.content_digest(*parts) for parts in [("a", "b"), ("ab", ""), ("a", ["b"]), ("a",), ("b", "a")]}
    assert len(digests) == 5


def test_an_id_and_a_content_of_equal_text_have_other_digests() -> None:
    assert content.id_digest("x") != content.content_digest("x")


def test_content_nested_deeper_than_can_be_written_is_malformed() -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(MalformedDelivery):
        content.content_digest(deep)


def test_keys_sort_by_their_time() -> None:
    times = [NOON + timedelta(milliseconds=step) for step in (0, 1, 256, 70_000)]
    assert sorted(map(content.time_bytes, reversed(times))) == list(map(content.time_bytes, times))


@pytest.mark.parametrize("moment", [None, datetime(1970, 1, 1, tzinfo=UTC), datetime(1950, 1, 1, tzinfo=UTC)])
def test_no_usable_time_is_all_zero(moment: datetime | None) -> None:
    assert content.time_bytes(moment) == content.NO_TIME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T12:00:00.123456Z", NOON + timedelta(milliseconds=123)),
        ("2026-03-02T14:00:00+02:00", NOON),
        ("2026-03-02T12:00:00", NOON),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (17, None),
        (None, None),
    ],
)
def test_times_are_utc_cut_to_milliseconds(text: object, expected: datetime | None) -> None:
    assert content.moment(text) == expected


def test_a_time_of_another_zone_is_given_in_utc() -> None:
    found = content.moment(NOON.astimezone(timezone(timedelta(hours=5))).isoformat())
    assert found == NOON and found.tzinfo is UTC


def test_a_name_longer_than_a_column_is_malformed() -> None:
    assert content.short_name("x" * content.NAME_CHARS, "source") == "x" * content.NAME_CHARS
    with pytest.raises(MalformedDelivery) as caught:
        content.short_name("x" * (content.NAME_CHARS + 1), "source")
    assert caught.value.reason == "name"
