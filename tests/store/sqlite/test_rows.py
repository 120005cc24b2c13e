"""Table rows as values and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from subscriber.model import from_millis
from subscriber.store.sqlite import rows
from tests.store.making import notification


@given(st.frozensets(st.text()))
def test_names_of_sinks_survive_their_column(names: frozenset[str]) -> None:
    assert rows.names_from(rows.names_to(names)) == names


def test_no_names_are_an_empty_column() -> None:
    assert rows.names_to(frozenset()) == ""


def test_columns_of_a_new_row_are_as_many_as_their_names() -> None:
    assert len(rows.ADDED.split(",")) == len(rows.added(notification())) + len(("tenant_id", "not_before"))


@given(
    occurred=st.none() | st.integers(0, 2**42),
    source=st.text(st.characters(codec="utf-8")),
    body=st.none() | st.binary(),
)
def test_a_notification_survives_its_columns(occurred: int | None, source: str, body: bytes | None) -> None:
    occurred_at = None if occurred is None else from_millis(occurred)
    made = notification(source=source, occurred_at=occurred_at, body=body)
    cells = dict(zip(rows.ADDED.split(", "), rows.added(made), strict=False))
    order = [name.strip().removeprefix("inbox.") for name in rows.NOTIFICATION.split(",")][2:]
    assert rows.notification([*made.tenant, *(cells[name] for name in order)]) == made
