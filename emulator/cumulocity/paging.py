"""Collections in pages, as every list of the platform comes.

Core OpenAPI specification: ``pageSize`` 5 unless said, 2000 at most; ``currentPage`` from 1; a page past the end is
empty, not an error; totals are counted only when asked for. Above the maximum: 422 (assumed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from aiohttp import web

from emulator.cumulocity.errors import Refused

DEFAULT_SIZE, MAX_SIZE = 5, 2000


def collection(
    request: web.Request,
    name: str,
    found: Iterable[Mapping[str, object]],
    *,
    total: Callable[[], int] | None = None,
) -> dict[str, object]:
    """The reply's document: one page of ``found`` under ``name``, ``statistics``, ``self``, ``next`` and ``prev``.

    ``found`` is read to the end of the page, further only if totals are asked for and ``total`` is not given.
    """
    page, size = _whole(request, "currentPage", 1, 1_000_000), _whole(request, "pageSize", DEFAULT_SIZE, MAX_SIZE)
    rows = iter(found)
    passed = sum(1 for _ in islice(rows, (page - 1) * size))
    items = list(islice(rows, size))
    statistics: dict[str, object] = {"currentPage": page, "pageSize": size}
    elements, pages = _flag(request, "withTotalElements"), _flag(request, "withTotalPages")
    if elements or pages:
        count = total() if total else passed + len(items) + sum(1 for _ in rows)
        statistics |= {"totalElements": count} if elements else {}
        statistics |= {"totalPages": -(-count // size)} if pages else {}
    document: dict[str, object] = {"self": str(request.url), name: items, "statistics": statistics}
    if len(items) == size:
        document["next"] = str(request.url.update_query(currentPage=page + 1))
    if page > 1:
        document["prev"] = str(request.url.update_query(currentPage=page - 1))
    return document


def _whole(request: web.Request, name: str, default: int, high: int) -> int:
    text = request.query.get(name)  # of several, the first one
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= high):
        raise Refused(422, "general/Unprocessable Entity", f"{name} is a number from 1 to {high}")
    return int(text)


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() == "true"
