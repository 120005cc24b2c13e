"""Rows 10 and 11: what they make, and which are refused."""

from __future__ import annotations

import pytest

from emulator.cumulocity.realtime.rows import parsed
from emulator.cumulocity.realtime.templates import ArgumentError, Collection, TemplateError, collection

NOW = "2026-01-01T00:00:00.000Z"
JSON = "application/vnd.com.nsn.cumulocity.operation+json"
PUT = f'10,110,PUT,/devicecontrol/operations/%%,{JSON},,%%,UNSIGNED STRING,"{{""status"":""%%""}}"'


def made(text: str) -> Collection:
    return collection("7", "x", [row.values for row in parsed(text)])


def test_a_row_fills_its_request() -> None:
    request = made(PUT).requests["110"].request(["60002", 'EXEC"UTING'], NOW)
    assert (request.method, request.uri, request.content_type) == ("PUT", "/devicecontrol/operations/60002", JSON)
    assert request.body == r'{"status":"EXEC\"UTING"}'


def test_arguments_are_escaped_for_the_address() -> None:
    text = "10,1,GET,/alarm/alarms?source=%%&type=%%,,,%%,STRING STRING"
    assert made(text).requests["1"].request(["a&b", "c/d"], NOW).uri == "/alarm/alarms?source=a%26b&type=c%2Fd"


def test_now_takes_no_argument_and_without_types_all_are_texts() -> None:
    now = made('10,1,POST,/event/events,t,,%%,NOW STRING,"%% %%"').requests["1"]
    assert now.request(["x"], NOW).body == f"{NOW} x"
    free = made('10,1,POST,/event/events,t,,%%,,"%% %%"').requests["1"]
    assert free.request(["x", "y"], NOW).body == "x y"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["1"], "wrong number of arguments"),
        (["x", "y"], "value is not a UNSIGNED: x"),
        ([], "wrong number of arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        made(PUT).requests["110"].request(arguments, NOW)


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("INTEGER", "-5", "5.0"),
        ("NUMBER", "-5.5e3", "five"),
        ("DATE", NOW, "today"),
        ("UNSIGNED", "5", "-5"),
    ],
)
def test_types_check_their_values(type: str, good: str, bad: str) -> None:
    template = made(f"10,1,GET,/x/%%,,,%%,{type}").requests["1"]
    assert template.request([good], NOW)
    with pytest.raises(ArgumentError):
        template.request([bad], NOW)


def test_none_are_supported_where_no_placeholder_is() -> None:
    with pytest.raises(ArgumentError, match="no arguments supported"):
        made("10,1,GET,/x").requests["1"].request(["1"], NOW)


def test_a_list_makes_a_row_for_each_element_in_which_the_condition_exists() -> None:
    rows = made("11,510,$.operations,$.c8y_Restart,$.id,$.deviceId\n11,511,operations,,$.id")
    document = {"operations": [{"id": "1", "c8y_Restart": {}, "deviceId": "5"}, {"id": "2"}]}
    assert rows.rows(document) == (("510", "1", "5"), ("511", "1"), ("511", "2"))
    assert rows.rows({"other": []}) == ()


def test_values_are_written_as_text() -> None:
    rows = made("11,1,,,$.text,$.whole,$.part,$.flag,$.none,$.missing,$.object,$.list")
    document = {"text": "ä", "whole": 5, "part": 1.5, "flag": True, "none": None, "object": {"a": 1}, "list": [1]}
    assert rows.rows(document) == (("1", "ä", "5", "1.5", "true", "", "", '{"a":1}', "[1]"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("11,1,,$.a,$.b\n11,1,,$.a,$.c", "duplicate message ids"),
        ("11,1,,", "bad response template"),
        ("11,1,,$.a[*],$.b", "path refers to a list"),
        ("11,1,,,$.a[?(@.b)]", "filter in path"),
        ("11,x,,,$.a", "not a valid id"),
        ("12,1,,,$.a", "not a valid id"),
        ("10,1,PATCH,/x", "bad request template"),
        ("10,1,GET,x", "bad request template"),
        ("10,1", "bad request template"),
        ("10,1,GET,/x,text/plain", "content type or template string given for GET/DELETE"),
        ("10,1,PUT,/x", "content type or template string missing for POST/PUT"),
        ("10,1,GET,/x/%%,,,%%,TEXT", "bad value type"),
        ("10,1,GET,/x/%%,,,,STRING", "values without placeholder"),
        ("10,1,GET,/x/%%,,,%%,STRING STRING", "bad pattern"),
    ],
)
def test_a_wrong_template_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as caught:
        made(text)
    assert caught.value.line == 1 + text.count("\n")


def test_a_collection_has_bounds() -> None:
    with pytest.raises(TemplateError, match="too many"):
        made("\n".join(f"11,{number},,,$.a" for number in range(100, 1102)))
