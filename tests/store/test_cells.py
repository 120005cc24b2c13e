"""Table rows as values and back."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from subscriber.model import DETAIL_CHARS, from_millis, to_millis
from subscriber.store import Census, Gap, cells
from tests.store.making import ACME, START, channel, notification


@given(st.frozensets(st.text()))
def test_names_of_sinks_survive_their_column(names: frozenset[str]) -> None:
    assert cells.names_from(cells.names_to(names)) == names


def test_no_names_are_an_empty_column() -> None:
    assert cells.names_to(frozenset()) == ""


def test_columns_of_a_new_row_are_as_many_as_their_names() -> None:
    assert len(cells.ADDED.split(",")) == len(cells.added(notification())) + len(("tenant_id", "not_before"))


@given(
    occurred=st.none() | st.integers(0, 2**42),
    source=st.text(st.characters(codec="utf-8")),
    body=st.none() | st.binary(),
)
def test_a_notification_survives_its_columns(occurred: int | None, source: str, body: bytes | None) -> None:
    occurred_at = None if occurred is None else from_millis(occurred)
    made = notification(source=source, occurred_at=occurred_at, body=body)
    named = dict(zip(cells.ADDED.split(", "), cells.added(made), strict=False))
    order = [name.strip().removeprefix("inbox.") for name in cells.NOTIFICATION.split(",")][2:]
    assert cells.notification([*made.tenant, *(named[name] for name in order)]) == made


def test_a_gap_survives_its_columns() -> None:
    made = Gap(
        tenant=ACME,
        platform="mindsphere",
        channel="c",
        lost_from=START,
        lost_until=START + timedelta(hours=1),
        reason="buffer",
        noticed_at=START,
    )
    platform, tenant_id, *rest = cells.gap_columns(made, 7)
    assert tenant_id == 7
    assert cells.gap([platform, ACME.name, *rest]) == made


def test_a_gap_of_all_tenants_names_none() -> None:
    assert cells.gap(["mindsphere", None, "", 0, 1, "away", 2]).tenant is None


def test_text_for_people_fits_every_column() -> None:
    assert cells.clipped("said \ud800 and \0") == "said ? and ?"
    assert len(cells.clipped("x" * 10_000)) == DETAIL_CHARS


def test_a_census_that_was_never_taken_knows_nothing() -> None:
    assert cells.census([]) == Census(read_at=None, waiting=0, reconciled_at=None)


def test_a_channel_survives_its_columns() -> None:
    row = channel(state="waiting", detail="refused", since=START + timedelta(milliseconds=7))
    assert cells.channel((*row.tenant, *cells.channel_columns(row), to_millis(row.seen_at))) == row
    assert len(cells.CHANNEL.split(",")) == len(cells.channel_columns(row)) + len(("platform", "tenant", "seen_at"))
