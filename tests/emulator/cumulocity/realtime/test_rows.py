"""Comma separated values in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cumulocity.realtime.rows import Row, parsed, written


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("80", [("80",)]),
        ("81,id,/a\n82,id,/a\n", [("81", "id", "/a"), ("82", "id", "/a")]),
        ("1,a\r\n2,b\r\n", [("1", "a"), ("2", "b")]),
        ('1,"say ""hi"", now",', [("1", 'say "hi", now', "")]),
        ('1,"two\nlines"\n\n2,x', [("1", "two\nlines"), ("2", "x")]),
        ("86,,10000,retry", [("86", "", "10000", "retry")]),
    ],
)
def test_rows_are_read(text: str, values: list[tuple[str, ...]]) -> None:
    assert [row.values for row in parsed(text)] == values


def test_rows_are_counted_from_1_without_empty_lines() -> None:
    assert [row.line for row in parsed("\n1\n\n2\n")] == [1, 2]


@pytest.mark.parametrize("text", ['1\n2,"open', '1\n2,"a"b\n3'])
def test_a_malformed_row_is_the_last_one(text: str) -> None:
    assert list(parsed(text)) == [Row(1, ("1",)), Row(2, ())]


@pytest.mark.parametrize("value", [" a", "a ", "a\tb", "a\nb", "a\rb", 'a"b', "a,b"])
def test_values_are_quoted_where_they_must(value: str) -> None:
    assert written(["1", value]) == '1,"' + value.replace('"', '""') + '"'


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\0"))).map(lambda row: ["1", *row])))
def test_what_is_written_is_read(rows: list[list[str]]) -> None:
    assert [list(row.values) for row in parsed("\n".join(map(written, rows)))] == rows
