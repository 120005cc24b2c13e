"""The rows of the conversation itself, in every position and with every value missing."""

from __future__ import annotations

from itertools import product

import pytest

from subscriber.platforms.smartrest import records
from subscriber.platforms.smartrest.messages import Advice, Contents, Policy, Row, contents


def read(body: str) -> Contents:
    return contents(records.read(body.encode()), "mine")


@pytest.mark.parametrize("line", ["", "1,"])
@pytest.mark.parametrize(
    ("timeout", "interval", "policy"),
    list(product(["", "5400000"], ["", "10000"], ["", "retry", "handshake", "none"])),
)
def test_advice_is_read_with_any_value_missing_and_with_or_without_a_line_number(
    line: str, timeout: str, interval: str, policy: str
) -> None:
    made = read(f"86,{line}{timeout},{interval},{policy}")
    wanted = Advice(
        int(timeout) if timeout else None, int(interval) if interval else None, Policy(policy) if policy else None
    )
    assert (made.advice, made.numbered, made.broken) == (wanted, bool(line), [])


@pytest.mark.parametrize("position", range(4))
def test_advice_may_stand_anywhere_between_the_rows(position: int) -> None:
    lines = ["87,2,theirs", "500,a", "500,b"]
    lines.insert(position, "86,,10000,retry")
    made = read("\n".join(lines))
    assert made.rows == [Row("theirs", ("500", "a")), Row("theirs", ("500", "b"))]
    assert made.advice == Advice(None, 10_000, Policy.RETRY)


def test_later_advice_completes_earlier() -> None:
    assert read("86,1000,,retry\n86,,500,").advice == Advice(1000, 500, Policy.RETRY)


def test_rows_behind_a_group_are_the_header_s_again() -> None:
    made = read("400,a\n87,1,theirs\n500,b\n500,c\n87,0,others\n500,d")
    assert [row.x_id for row in made.rows] == ["mine", "theirs", "mine", "mine"]


def test_a_record_that_cannot_be_read_counts_in_its_group() -> None:
    made = read('87,2,theirs\n500,"a"b\n500,c\n500,d')
    assert [row.x_id for row in made.rows] == ["theirs", "mine"]
    assert len(made.broken) == 1


@pytest.mark.parametrize(("row", "batch"), [("88,1", "1"), ("88,-1", "-1"), ("88,1,7", "7"), ("500,x", "")])
def test_the_number_of_an_answer_is_kept_as_it_is(row: str, batch: str) -> None:
    assert read(row).batch == batch


@pytest.mark.parametrize(
    "row",
    [
        "86,1",
        "86,1,2,3,4,retry",
        "86,x,,",
        "86,,,maybe",
        "86,-1,,",
        "87,x,mine",
        "87,1,",
        "87,1",
        "88",
        "88,x",
        "20,1",
    ]
    + ["text,more", "1234567890,x", "-1,x"],
)
def test_a_row_that_is_not_as_documented_is_set_aside(row: str) -> None:
    made = read(f"{row}\n500,a")
    assert [broken.reason for broken in made.broken] == ["row"]
    assert made.broken[0].raw == row.encode()
    assert made.rows == [Row("mine", ("500", "a"))]


@pytest.mark.parametrize("id", ["40", "41", "42", "43", "45", "50"])
def test_error_rows_are_told_with_their_text_on_one_line(id: str) -> None:
    (refusal,) = read(f'{id},1,"not\nso"').refusals
    assert (refusal.id, refusal.detail) == (id, "1 not so")


def test_the_status_behind_a_failed_call_is_known() -> None:
    assert [read(row).refusals[0].upstream_status for row in ("50,1,404", "50,503", "50,1,x", "45,1,404")] == [
        404,
        503,
        None,
        None,
    ]


def test_a_stranger_s_long_text_is_cut() -> None:
    assert len(read("45," + "x" * 5000).refusals[0].detail) == 500
