"""Cutting a message into the exact bytes of its items."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import MalformedDelivery
from subscriber.platforms.pelion.splitting import members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('a"\\[{', max_size=3), inner, max_size=4),
    max_leaves=12,
)
ARRAYS = st.dictionaries(st.text('ab"\\]}', max_size=4), st.lists(JSON, max_size=4), max_size=4)


def cut(message: bytes) -> list[tuple[str, list[bytes] | bytes]]:
    return [(one.name, one.text if one.items is None else list(one.items)) for one in members(message)]


@pytest.mark.parametrize("message", [b"", b" \n", b"{}", b" { } "])
def test_an_empty_message_has_no_members(message: bytes) -> None:
    assert cut(message) == []


def test_items_are_cut_out_with_their_exact_bytes() -> None:
    message = b'{"a" : [ {"x": 1.50,"y":"}]\\"{"} ,{"n":[{"m":[ ]}]}, "s\\\\" , 1e3 ] , "b":[], "c" : {"no":"array"}}'
    assert cut(message) == [
        ("a", [b'{"x": 1.50,"y":"}]\\"{"}', b'{"n":[{"m":[ ]}]}', b'"s\\\\"', b"1e3"]),
        ("b", []),
        ("c", b'{"no":"array"}'),
    ]


def test_a_member_given_twice_is_there_twice() -> None:
    assert cut(b'{"a":[1],"a":[2]}') == [("a", [b"1"]), ("a", [b"2"])]


def test_items_that_nobody_takes_are_stepped_over() -> None:
    assert [one.name for one in members(b'{"a":[1,{"b":[2]}],"c":[3]}')] == ["a", "c"]


@given(ARRAYS, st.sampled_from([None, 1]), st.booleans())
def test_any_json_is_cut_where_its_items_end(arrays: dict[str, list[Any]], indent: int | None, ascii: bool) -> None:
    message = json.dumps(arrays, indent=indent, ensure_ascii=ascii).encode()
    found = {name: [json.loads(item) for item in items] for name, items in cut(message)}
    assert found == arrays


@given(st.binary(max_size=60) | st.text('{}[]":,\\ a1', max_size=60).map(str.encode))
def test_any_bytes_are_cut_or_malformed(message: bytes) -> None:
    try:
        cut(message)
    except MalformedDelivery as error:
        assert error.reason == "json"


@pytest.mark.parametrize(
    "message",
    [
        b"not json",
        b"[]",
        b'{"a":[1]',
        b'{"a":[1}',
        b'{"a":[1 2]}',
        b'{"a" [1]}',
        b'{"a":[{"b":1]}',
        b'{"a":["never closed]}',
        b"{a:[1]}",
        b'{"\\x":[1]}',
        b'{"a":}',
        b'{"a":[,]}',
        b'{"a":[1],}',
        b"{} {}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_where_a_message_stops_being_json_is_said(message: bytes) -> None:
    with pytest.raises(MalformedDelivery, match="at byte"):
        cut(message)


@pytest.mark.parametrize(
    "item",
    [b'"' + b'\\"' * 500_000 + b'"', b"[" * 500_000 + b"]" * 500_000, b"{" * 500_000, b'{"a":"' * 100_000],
    ids=["escapes", "nesting", "openings", "pieces"],
)
def test_bombs_are_harmless(item: bytes) -> None:
    try:
        cut(b'{"a":[' + item + b"]}")
    except MalformedDelivery:
        pass
