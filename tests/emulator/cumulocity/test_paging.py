"""Pages: sizes, ends, totals."""

from __future__ import annotations

import pytest

from tests.emulator.cumulocity.running import Tenant

PATH = "/notification2/subscriptions"


@pytest.fixture
def seven(tenant: Tenant) -> Tenant:
    for letter in "ABCDEFG":
        tenant.rule(letter, "alarms")
    return tenant


def test_a_page_has_five_unless_told_and_names_its_neighbours(seven: Tenant) -> None:
    """N2-3.9"""
    first = seven.get(PATH)
    assert first["statistics"] == {"currentPage": 1, "pageSize": 5} and "prev" not in first
    second = seven.session.get(first["next"]).json()
    names = [entry["subscription"] for entry in first["subscriptions"] + second["subscriptions"]]
    assert names == list("ABCDEFG")
    assert (
        "next" not in second and seven.session.get(second["prev"]).json()["subscriptions"] == first["subscriptions"]
    )


def test_a_page_past_the_end_is_empty(seven: Tenant) -> None:
    """N2-3.9: clients ask page after page until one is."""
    assert seven.get(PATH, currentPage=99)["subscriptions"] == []


def test_totals_are_counted_when_asked_for_and_a_repeated_key_is_no_error(seven: Tenant) -> None:
    """N2-3.9"""
    answer = seven.get(f"{PATH}?pageSize=2&pageSize=2", withTotalPages="true", withTotalElements="true")
    assert answer["statistics"] == {"currentPage": 1, "pageSize": 2, "totalPages": 4, "totalElements": 7}


@pytest.mark.parametrize("query", ["pageSize=2001", "pageSize=0", "pageSize=x", "currentPage=0", "currentPage=-1"])
def test_sizes_out_of_bounds_are_unprocessable(tenant: Tenant, query: str) -> None:
    """N2-3.9"""
    assert tenant.ask("GET", f"{PATH}?{query}").status_code == 422
