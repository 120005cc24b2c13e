"""Places in lists: sealed, bound to list and tenant, and alike however far they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.errors import InvalidCursor
from subscriber.web.api.places import PLACE, Order, Seal

SEAL = Seal("a secret of this installation")
CURSORS = st.one_of(
    st.integers(0, 2**63 - 1).map(str), st.tuples(*[st.integers(0, 2**63 - 1)] * 2).map("{0[0]}-{0[1]}".format)
)


@given(CURSORS, st.sampled_from(Order), st.text("abcdefg0123", min_size=1, max_size=8))
def test_a_place_comes_back_as_it_was(cursor: str, order: Order, reader: str) -> None:
    place = SEAL.sealed(cursor, order, reader)
    assert PLACE.fullmatch(place)
    assert SEAL.opened(place, order, reader) == cursor
    assert Seal("a secret of this installation").sealed(cursor, order, reader) == place


def test_a_place_says_nothing_of_how_far_it_is() -> None:
    near, far = (SEAL.sealed(cursor, Order.ARRIVAL, "custaa") for cursor in ("1", "9223372036854775807-1"))
    assert len(near) == len(far) and near[:10] != SEAL.sealed("2", Order.ARRIVAL, "custaa")[:10]


@pytest.mark.parametrize(
    ("seal", "order", "reader"),
    [
        (Seal("another"), Order.ARRIVAL, "custaa"),
        (SEAL, Order.NEWEST, "custaa"),
        (SEAL, Order.ARRIVAL, "custbb"),
        (SEAL, Order.ARRIVAL, ""),
    ],
)
def test_a_place_of_another_secret_list_or_tenant_is_refused(seal: Seal, order: Order, reader: str) -> None:
    with pytest.raises(InvalidCursor):
        seal.opened(SEAL.sealed("7", Order.ARRIVAL, "custaa"), order, reader)


@given(st.integers(0, 74), st.sampled_from("ABCxyz019-_"))
def test_a_place_that_was_changed_is_refused(position: int, letter: str) -> None:
    place = SEAL.sealed("123", Order.ARRIVAL, "custaa")
    changed = place[:position] + letter + place[position + 1 :]
    if changed[:-1] != place[:-1]:  # the last letter carries bits that mean nothing
        with pytest.raises(InvalidCursor):
            SEAL.opened(changed, Order.ARRIVAL, "custaa")


@given(st.text(max_size=100))
def test_any_text_is_a_place_or_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        SEAL.opened(text, Order.ARRIVAL, "custaa")
