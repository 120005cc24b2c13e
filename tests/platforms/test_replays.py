"""A repeated delivery, or the same fact once more?"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.platforms.replays import REMEMBERED, Replays

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LETTERS = st.lists(st.sampled_from("ABC"), max_size=30)


def place(replays: Replays, letters: str) -> str:
    """The letters that are new."""
    return "".join(letter for letter in letters if replays.place(letter.encode(), "consumer", NOW) is not None)


def test_a_value_that_changes_and_comes_back_is_three_facts() -> None:
    assert place(Replays(), "ABA") == "ABA"


def test_every_fact_has_a_key_of_its_own() -> None:
    replays = Replays()
    assert len({replays.place(b"A", "consumer", NOW) for _ in range(50)}) == 50


def test_what_comes_again_after_a_reconnect_is_known() -> None:
    replays = Replays()
    place(replays, "ABA")
    replays.connected()
    assert place(replays, "ABA") == ""


def test_only_the_unacknowledged_ones_need_to_come_again() -> None:
    replays = Replays()
    place(replays, "ABCD")
    replays.connected()
    assert place(replays, "BDE") == "E"


def test_the_first_new_frame_ends_the_replay() -> None:
    replays = Replays()
    place(replays, "ABC")
    replays.connected()
    assert place(replays, "BXC") == "XC"


def test_without_a_reconnect_nothing_is_a_repetition() -> None:
    replays = Replays(Replays().value)
    assert place(replays, "AAA") == "AAA"


def test_the_memory_survives_a_restart() -> None:
    replays = Replays()
    place(replays, "ABC")
    again = Replays(replays.value)
    again.connected()
    assert place(again, "ABCD") == "D"


def test_keys_never_repeat_after_a_restart() -> None:
    replays = Replays()
    first = replays.place(b"A", "consumer", NOW)
    assert Replays(replays.value).place(b"A", "consumer", NOW) != first


def test_the_memory_is_bounded() -> None:
    replays = Replays()
    for number in range(3 * REMEMBERED):
        replays.place(number.to_bytes(4, "big"), "consumer", NOW)
    assert len(replays.value) <= 8 * REMEMBERED + 8
    replays.connected()
    assert replays.place((3 * REMEMBERED - 1).to_bytes(4, "big"), "consumer", NOW) is None


@pytest.mark.parametrize("value", [b"x", b"123456789", bytes(8 + 7)])
def test_a_strange_memory_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="memory"):
        Replays(value)


@given(LETTERS, LETTERS, st.data())
def test_a_resend_in_order_then_news_admits_exactly_the_news(before: str, news: str, data: st.DataObject) -> None:
    """Whatever the server holds unacknowledged: none is stored twice, and what follows a strange frame is new."""
    replays = Replays()
    place(replays, "".join(before))
    unacknowledged = [letter for letter in before if data.draw(st.booleans())]
    again = Replays(replays.value)
    again.connected()
    assert place(again, "".join(unacknowledged) + "#" + "".join(news)) == "#" + "".join(news)
