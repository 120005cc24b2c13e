"""Query parameters: what is taken, what is refused, and that schema and parser agree."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from subscriber.errors import InvalidParameter
from subscriber.model import State
from subscriber.web.api.parameters import LISTED, SINCE, read
from subscriber.web.api.places import Order


def taken(**texts: str) -> object:
    ((_, value),) = read(LISTED, MultiDict(texts)).items()
    return value


def test_values_are_what_the_store_asks_for() -> None:
    assert taken(state="dead") is State.DEAD and taken(order="arrival") is Order.ARRIVAL
    assert taken(limit="200") == 200 and taken(topic="a b") == "a b"
    assert read(LISTED, MultiDict()) == {}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31t08:00:00.5z", datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T08:00:00.123456789+02:00", datetime(2026, 1, 31, 6, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T08:00:00 02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0000-01-01T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59-23:59", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_times_are_those_of_the_internet_s_format(text: str, moment: datetime) -> None:
    assert taken(since=text) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_of_the_calendar_is_read(moment: datetime) -> None:
    assert SINCE.parse(moment.isoformat()) == moment


@given(st.sampled_from(LISTED), st.text(max_size=30))
def test_any_text_is_read_or_refused_without_being_repeated(parameter: object, text: str) -> None:
    name = parameter.name  # type: ignore[attr-defined]
    try:
        read(LISTED, MultiDict({name: text}))
    except InvalidParameter as error:
        assert name in error.detail and (len(text) < 8 or text not in error.detail)


def test_what_nobody_asked_for_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidParameter) as caught:
        read(LISTED, MultiDict({"secret-name": "1"}))
    assert "secret-name" not in caught.value.detail
