"""The user tenants that the application is provisioned to, read from the Token Manager's list, page by page.

Pages are read one after another while the list may change, so the result says whether it is one list or pieces of
two. It decides nothing about a tenant.

Follows the published pages of the Token Manager's list of user tenants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from subscriber.errors import PlatformUnavailable
from subscriber.platforms import mindsphere_api as api

MAX_PAGES = 1_000  # of 100 names each: a hundred thousand customers; a list without an end is not read forever

ReadPage = Callable[[int], api.TenantPage]


@dataclass(frozen=True, slots=True)
class TenantList:
    """The user tenants, each once, in the platform's order.

    ``complete`` False: the list changed while it was read, twice; these names are right, others may be missing.
    """

    names: tuple[str, ...]
    complete: bool


def read_tenants(read_page: ReadPage) -> TenantList:
    """The list, read once more if it changed meanwhile. ``read_page`` gets a number from 0 and raises what it raises.

    Raises ``PlatformUnavailable`` for a list with more than MAX_PAGES pages.
    """
    first = _read_once(read_page)
    if first.complete:
        return first
    again = _read_once(read_page)
    return again if again.complete else TenantList(unique((*again.names, *first.names)), False)


def _read_once(read_page: ReadPage) -> TenantList:
    pages = [read_page(0)]
    while len(pages) < pages[-1].total_pages:
        if len(pages) == MAX_PAGES:
            detail = f"the list of user tenants has more than {MAX_PAGES} pages"
            raise PlatformUnavailable(detail, reason="tenant_list_too_long")
        pages.append(read_page(len(pages)))
    return _joined(pages)


def _joined(pages: Sequence[api.TenantPage]) -> TenantList:
    """One list of its pages. It is complete if every page tells of the same list, and all of it was seen."""
    names = [name for page in pages for name in page.names]
    same = len({(page.total_pages, page.total_elements) for page in pages}) == 1
    in_order = [page.number for page in pages] == list(range(len(pages)))
    whole = len(names) == len(set(names)) == pages[0].total_elements
    return TenantList(unique(names), same and in_order and whole)


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, where it came first."""
    return tuple(dict.fromkeys(names))
