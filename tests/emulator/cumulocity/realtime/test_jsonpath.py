"""Paths to one value."""

from __future__ import annotations

import pytest

from emulator.cumulocity.realtime.jsonpath import JsonPath, PathError

DOCUMENT = {"id": "1", "a": {"b": [10, {"c": None}]}, "x.y": 2}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", (DOCUMENT,)),
        ("", (DOCUMENT,)),
        ("$.id", ("1",)),
        ("id", ("1",)),
        ("$.a.b[0]", (10,)),
        ("$.a.b[1].c", (None,)),
        ("$['x.y']", (2,)),
        ('$["a"].b[0]', (10,)),
        ("$.a.b[2]", ()),
        ("$.a.missing", ()),
        ("$.id.deeper", ()),
        ("$[0]", ()),
    ],
)
def test_a_path_finds_one_value_or_nothing(path: str, found: tuple[object, ...]) -> None:
    assert JsonPath.read(path).find(DOCUMENT) == found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$.a[?(@.b)]", "filter in path"),
        ("$.a[*]", "path refers to a list"),
        ("$..a", "path refers to a list"),
        ("$.a[0:2]", "path refers to a list"),
        ("$.a[0,1]", "path refers to a list"),
        ("$a", "invalid JsonPath"),
        ("$.a[", "invalid JsonPath"),
        ("$.", "invalid JsonPath"),
    ],
)
def test_other_paths_are_refused(path: str, reason: str) -> None:
    with pytest.raises(PathError, match=reason):
        JsonPath.read(path)
