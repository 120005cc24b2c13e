"""CSV in and out."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.platforms.smartrest.records import Broken, read, read_cut, write

VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
RECORDS = st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("reboot now", "reboot now"),
        ("", ""),
        ("a,b", '"a,b"'),
        ('get "uptime"', '"get ""uptime"""'),
        ("one\ntwo", '"one\ntwo"'),
        ("one\rtwo", '"one\rtwo"'),
        ("one\ttwo", '"one\ttwo"'),
        (" lead", '" lead"'),
        ("trail ", '"trail "'),
        ("grüße", "grüße"),
    ],
)
def test_a_value_is_quoted_only_where_it_must_be_and_read_back(value: str, written: str) -> None:
    assert write([("501", value, "x")]) == f"501,{written},x".encode()
    assert read(f"501,{written},x".encode()) == [("501", value, "x")]


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"500,1", [("500", "1")]),
        (b"500,1\n", [("500", "1")]),
        (b"500,1\r\n501,2\r\n", [("500", "1"), ("501", "2")]),
        (b"500,1\n\n501,2", [("500", "1"), ("501", "2")]),
        (b"500,,", [("500", "", "")]),
        (b",", [("", "")]),
        (b'500,""', [("500", "")]),
        (b'500,"a\r\n\r\nb",c\n501,d', [("500", "a\r\n\r\nb", "c"), ("501", "d")]),
        (b'""', [("",)]),
    ],
)
def test_records_end_with_either_line_end_and_empty_lines_mean_nothing(
    body: bytes, records: list[tuple[str, ...]]
) -> None:
    assert read(body) == records


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (b'500,5" pipe', Broken(b'500,5" pipe', "quoting")),
        (b'500,"a"b', Broken(b'500,"a"b', "quoting")),
        (b"500,a\rb", Broken(b"500,a\rb", "quoting")),
        (b"500,\xff", Broken(b"500,\xff", "encoding")),
        (b"500,a\0b", Broken(b"500,a\0b", "nul")),
    ],
)
def test_a_record_that_breaks_the_rules_is_set_aside_and_the_next_ones_are_read(body: bytes, broken: Broken) -> None:
    assert read(b"400,x\n" + body + b"\n600,y\r\n") == [("400", "x"), broken, ("600", "y")]


def test_what_an_open_quote_swallows_is_not_taken_for_records() -> None:
    assert read(b'500,"a\n86,,0,none\n') == [Broken(b'500,"a\n86,,0,none', "unterminated")]


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"500,1\n501,2", [("500", "1")]),
        (b"500,1\n501,2\n", [("500", "1"), ("501", "2")]),
        (b'500,1\n501,"a\n', [("500", "1")]),
        (b"500,1\r\n501,2\r", [("500", "1")]),
        (b"500", []),
        (b"", []),
    ],
)
def test_of_a_body_that_broke_off_only_whole_records_count(body: bytes, records: list[tuple[str, ...]]) -> None:
    assert read_cut(body) == records


@given(RECORDS)
def test_what_is_written_is_read_back(records: list[list[str]]) -> None:
    assert read(write(records)) == [tuple(record) for record in records if record != [""]]


@given(RECORDS, st.sampled_from(["\n", "\r\n"]))
def test_what_python_s_own_writer_makes_is_read(records: list[list[str]], end: str) -> None:
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(records)
    assert read(made.getvalue().encode()) == [tuple(record) for record in records]


@given(st.binary(max_size=300) | st.text('",\r\n\0a1 ', max_size=60).map(str.encode))
def test_any_bytes_are_records_or_set_aside(body: bytes) -> None:
    for record in read(body) + read_cut(body):
        assert isinstance(record, Broken) or all(isinstance(value, str) for value in record)


def test_many_quotes_take_no_longer_than_their_number() -> None:
    for body in (b'"' * 400_001, b'"a"b\n' * 80_000, b'"""\n' * 100_000, b',"' * 200_000):
        assert len(read(body)) <= 100_000
