"""Topic patterns mean in the database what they mean in Python."""

from __future__ import annotations

from fnmatch import fnmatchcase

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.store.postgres.patterns import regular_expression
from tests.servers.postgres import Server, shared

LETTERS = st.text("ab-]![*?.^\\(|$_%A ", max_size=6)


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("t.1", "t.1", True),
        ("t.1", "tx1", False),
        ("t*", "t.1", True),
        ("*", "", True),
        ("t?", "t", False),
        ("t[13]", "t3", True),
        ("t[!13]", "t3", False),
        ("t[1-3]", "t2", True),
        ("t[]]", "t]", True),
        ("t[", "t[", True),
        ("T", "t", False),
        ("t%_", "t%_", True),
        ("a\nb", "a\nb", True),
        ("a*", "a\nb", True),
        ("a", "a\n", False),
    ],
)
def test_a_pattern_matches_the_whole_topic(server: Server, pattern: str, topic: str, matches: bool) -> None:
    assert matched(server, [pattern], [topic]) == ([topic] if matches else [])


def test_any_of_several_patterns_will_do_and_none_matches_nothing(server: Server) -> None:
    assert matched(server, ["a", "b*"], ["a", "bc", "ab"]) == ["a", "bc"]
    assert matched(server, [], ["", "a"]) == []


@given(pattern=LETTERS, topics=st.lists(LETTERS, min_size=1, max_size=20))
def test_whatever_the_pattern_python_agrees(pattern: str, topics: list[str]) -> None:
    assert matched(shared(), [pattern], topics) == [topic for topic in topics if fnmatchcase(topic, pattern)]


def matched(server: Server, patterns: list[str], topics: list[str]) -> list[str]:
    with psycopg.connect(server.url("postgres")) as connection:
        found = connection.execute(
            "SELECT topic FROM unnest(%s::text[]) WITH ORDINALITY AS given (topic, place) WHERE topic ~ %s "
            "ORDER BY place",
            (topics, regular_expression(patterns)),
        )
        return [topic for (topic,) in found]
