"""What lets a notification through: a table each."""

from __future__ import annotations

import pytest

from emulator.cumulocity.filters import FilterError, apis_of, projected, types_of


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("c8y_Speed", {"c8y_Speed"}),
        ("'c8y_Speed'", {"c8y_Speed"}),
        ("'a' or 'b' or 'c'", {"a", "b", "c"}),
        ("type eq 'a' or type eq 'b'", {"a", "b"}),
        ("'it''s'", {"it's"}),
        ("'a b'", {"a b"}),
    ],
)
def test_a_type_filter_names_types(text: str, types: set[str]) -> None:
    """N2-3.5"""
    assert types_of(text) == types


@pytest.mark.parametrize("text", ["", "a or b", "'a' and 'b'", "not 'a'", "('a')", "'a' OR 'b'", "'a", "'a' or"])
def test_what_says_nothing_is_refused(text: str) -> None:
    """N2-3.5"""
    with pytest.raises(FilterError):
        types_of(text)


ALL_MO = {"alarms", "alarmsWithChildren", "events", "eventsWithChildren"} | {
    "managedobjects",
    "measurements",
    "operations",
}


@pytest.mark.parametrize(
    ("context", "named", "found"),
    [
        ("mo", None, ALL_MO),
        ("mo", ["*"], ALL_MO),
        ("tenant", ["*"], {"alarms", "events", "managedobjects", "operations"}),
        ("tenant", ["measurements", "alarms"], {"measurements", "alarms"}),
    ],
)
def test_apis_of_a_context(context: str, named: list[str] | None, found: set[str]) -> None:
    """N2-3.4: a star never means a tenant's measurements."""
    assert apis_of(context, named, tenant_measurements=True) == found


@pytest.mark.parametrize(
    ("context", "named"),
    [("tenant", ["alarmsWithChildren"]), ("mo", ["*", "alarms"]), ("mo", ["inventory"]), ("mo", []), ("mo", ["x"])],
)
def test_an_api_the_context_does_not_have_is_refused(context: str, named: list[str]) -> None:
    """N2-3.4"""
    with pytest.raises(FilterError):
        apis_of(context, named, tenant_measurements=True)


def test_tenant_measurements_are_a_knob() -> None:
    """N2-3.4"""
    with pytest.raises(FilterError):
        apis_of("tenant", ["measurements"], tenant_measurements=False)


def test_fragments_to_copy_cut_what_is_not_listed() -> None:
    """N2-3.6: standard members stay."""
    document: dict[str, object] = {"id": "1", "type": "T", "acme_A": 1, "acme_B": 2}
    assert projected(document, frozenset({"acme_A"})) == {"id": "1", "type": "T", "acme_A": 1}
    assert projected(document, frozenset()) == document
