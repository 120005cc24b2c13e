"""The list of user tenants, page by page, while it may change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from subscriber.errors import PlatformUnavailable
from subscriber.platforms.mindsphere_api import TenantPage
from subscriber.registration.tenants import MAX_PAGES, ReadPage, TenantList, read_tenants, unique


def pages_of(*readings: list[list[str]], total: int | None = None) -> ReadPage:
    """The n-th reading of the list yields the n-th of these (the last one stays); each is its pages."""
    reading = iter(readings)
    current: list[list[str]] = []

    def read(number: int) -> TenantPage:
        nonlocal current
        if number == 0:
            current = next(reading, current)
        names = tuple(current[number]) if number < len(current) else ()
        count = sum(len(one) for one in current) if total is None else total
        return TenantPage(names=names, number=number, total_pages=len(current), total_elements=count)

    return read


@pytest.mark.parametrize(
    ("read", "names", "complete"),
    [
        (pages_of([]), (), True),
        (pages_of([["a", "b"], ["c"]]), ("a", "b", "c"), True),
        (pages_of([["a"], ["a"]], [["a"], ["b"]]), ("a", "b"), True),
        (pages_of([["a"], ["a"]], [["b"], ["b"]]), ("b", "a"), False),
        (pages_of([["a"]], total=2), ("a",), False),
    ],
    ids=["nobody", "two pages", "changed once", "changed twice", "fewer than it counts"],
)
def test_a_list_is_complete_if_one_reading_of_it_fits_together(
    read: ReadPage, names: tuple[str, ...], complete: bool
) -> None:
    assert read_tenants(read) == TenantList(names, complete)


def endless(calls: list[int]) -> Callable[[int], TenantPage]:
    def read(number: int) -> TenantPage:
        calls.append(number)
        return TenantPage(names=(f"t{number}",), number=number, total_pages=10**6, total_elements=10**6)

    return read


def test_a_list_without_an_end_is_not_read_forever() -> None:
    calls: list[int] = []
    with pytest.raises(PlatformUnavailable) as caught:
        read_tenants(endless(calls))
    assert (caught.value.reason, len(calls)) == ("tenant_list_too_long", MAX_PAGES)


def test_names_are_kept_once_in_their_order() -> None:
    assert unique(["b", "a", "b"]) == ("b", "a")
