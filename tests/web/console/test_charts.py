"""Bars in a box."""

from __future__ import annotations

import re

import pytest

from subscriber.web.console.charts import HEIGHT, WIDTH, axis_top, picture


@pytest.mark.parametrize(
    ("peak", "top"),
    [(0, 1), (0.3, 1), (1, 1), (1.2, 2), (2.4, 2.5), (3, 5), (7, 10), (10, 10), (11, 20), (99, 100), (260, 500)],
)
def test_the_upper_edge_is_the_next_round_number(peak: float, top: float) -> None:
    assert axis_top(peak) == top


def test_a_bar_is_as_high_as_its_share_of_the_upper_edge() -> None:
    drawn = picture([5, 10, 0])
    assert [float(height) for height in re.findall(r"v-([\d.]+)h", drawn.path)] == [HEIGHT / 2, HEIGHT]
    assert drawn.top == 10


def test_what_happened_once_among_thousands_is_still_to_be_seen() -> None:
    drawn = picture([1, 10_000])
    assert min(float(height) for height in re.findall(r"v-([\d.]+)h", drawn.path)) >= 1


def test_bars_stand_side_by_side_within_the_box() -> None:
    places = [float(left) for left in re.findall(r"M([\d.]+) ", picture([1] * 60).path)]
    assert places == sorted(places) and 0 <= places[0] and places[-1] < WIDTH


def test_nothing_is_an_empty_picture() -> None:
    assert picture([]).path == picture([0, 0]).path == ""
