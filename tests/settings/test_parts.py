"""A JSON setting is read completely: each problem with its place, no value repeated."""

from __future__ import annotations

import re

import pytest

from subscriber.settings.parts import Part, document

WORD = re.compile(r"[a-z]+")


def part(value: object) -> tuple[Part, list[str]]:
    problems: list[str] = []
    return Part(value, "at[0]", problems), problems


def test_text_that_is_no_json_says_where_it_stops() -> None:
    with pytest.raises(ValueError, match="must be JSON: .* at character"):
        document('[{"password":"s3cret"', [])


def test_what_is_as_wanted_is_read() -> None:
    one, problems = part({"a": "word", "b": True, "c": 7, "d": ["x", "y"]})
    members = one.members(("a", "b"), ("c", "d", "e"))
    assert members["a"].text(WORD, "a word") == "word"
    assert members["b"].flag() and members["c"].number(1, 9) == 7
    assert members["d"].items(lambda item: item.text(WORD, "a word")) == ["x", "y"]
    assert problems == [] and "e" not in members


@pytest.mark.parametrize(("value", "wanted"), [("A-1", "must be a word"), (7, "must be a word")])
def test_text_of_another_pattern_is_noted_without_the_text(value: object, wanted: str) -> None:
    one, problems = part(value)
    assert one.text(WORD, "a word") == ""
    assert problems == [f"at[0] {wanted}"]


@pytest.mark.parametrize("value", [0, 10, 1.5, "7", True, None])
def test_a_number_out_of_range_is_noted(value: object) -> None:
    one, problems = part(value)
    assert one.number(1, 9) == 1 and problems == ["at[0] must be a whole number from 1 to 9"]


def test_a_flag_is_true_or_false() -> None:
    one, problems = part("true")
    assert one.flag() is False and problems == ["at[0] must be true or false"]


def test_members_that_lack_and_members_that_nobody_asked_for_are_noted() -> None:
    one, problems = part({"typo": 1})
    one.members(("name",), ("more",))
    assert problems == ["at[0] lacks name", "at[0] has a member 'typo', which is none of name, more"]


def test_null_stands_for_absent_unless_the_member_has_to_be() -> None:
    one, problems = part({"name": None, "more": None})
    assert list(one.members(("name",), ("more",))) == ["name"] and problems == []


def test_lists_and_objects_are_told_apart() -> None:
    one, problems = part({})
    assert one.items(lambda item: item) == []
    assert one.members(()) == {}
    other, others = part([])
    assert other.members(()) == {}
    assert (problems, others) == (["at[0] must be a list"], ["at[0] must be an object"])
