"""``/inventory/managedObjects`` and the children below.

Core OpenAPI specification, Inventory API: as much as devices, assets and their hierarchy need. Of the query language
conditions joined by ``and`` are understood: ``has(fragment)``, ``name eq 'word'``. All else is refused, not ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from aiohttp import web

from emulator.cumulocity.access import Access
from emulator.cumulocity.directory import User
from emulator.cumulocity.documents import Document
from emulator.cumulocity.errors import Handler, answer, guarded, read_object, unprocessable, wrong_verb
from emulator.cumulocity.inventory import CHILD_KINDS, Inventory
from emulator.cumulocity.paging import collection

PATH = "/inventory/managedObjects"
SLASH = "{slash:/?}"  # a client in the field writes one slash too many, and the platform does not mind
CONDITION = re.compile(r"\(*\s*(?:has\(\s*([\w.]+)\s*\)|([\w.]+)\s+eq\s+(?:'((?:[^']|'')*)'|([\w.]+)))\s*\)*")
Test = Callable[[Document], bool]


class InventoryApi:
    """Reading asks for ``ROLE_INVENTORY_READ``, writing for ``ROLE_INVENTORY_ADMIN``."""

    def __init__(self, access: Access, inventory: Inventory) -> None:
        self._access = access
        self._inventory = inventory

    def routes(self, base: str) -> list[web.RouteDef]:
        child = "/{id}/{kind:" + "|".join(CHILD_KINDS) + "}"
        calls: list[tuple[str, str, Handler]] = [
            ("GET", SLASH, self.select),
            ("POST", SLASH, self.create),
            ("*", SLASH, wrong_verb),
            ("GET", f"/{SLASH}{{id}}", self.get),
            ("PUT", f"/{SLASH}{{id}}", self.update),
            ("DELETE", f"/{SLASH}{{id}}", self.delete),
            ("*", f"/{SLASH}{{id}}", wrong_verb),
            ("GET", child, self.children),
            ("POST", child, self.adopt),
            ("DELETE", child + "/{child}", self.release),
        ]
        return [web.route(verb, f"{base}{PATH}{path}", guarded(call)) for verb, path, call in calls]

    def _caller(self, request: web.Request) -> User:
        level = "READ" if request.method == "GET" else "ADMIN"
        return self._access.caller(request, f"ROLE_INVENTORY_{level}")

    async def select(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        tests = list(_tests(request))
        found = (
            self._shown(request, document)
            for document in self._inventory.all(caller.tenant)
            if all(test(document) for test in tests)
        )
        return answer(collection(request, "managedObjects", found), "managedobjectcollection")

    async def create(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        document = self._inventory.create(caller.tenant, caller.name, await read_object(request))
        return self._answer(request, document, 201)

    async def get(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        id = request.match_info["id"]
        document = dict(self._inventory.get(caller.tenant, id))
        for kind in CHILD_KINDS:
            document[kind] = self._references(request, caller.tenant, id, kind)
        return self._answer(request, document)

    async def update(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        document = self._inventory.update(caller.tenant, request.match_info["id"], await read_object(request))
        return self._answer(request, document)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        self._inventory.delete(self._caller(request).tenant, request.match_info["id"])
        return web.Response(status=204)

    # children

    async def children(self, request: web.Request) -> web.StreamResponse:
        caller, info = self._caller(request), request.match_info
        self._inventory.get(caller.tenant, info["id"])
        references = self._references(request, caller.tenant, info["id"], info["kind"])
        return answer(references, "managedobjectreferencecollection")

    async def adopt(self, request: web.Request) -> web.StreamResponse:
        """Hang an existing object below, named by ``managedObject.id``; any other body makes a new one there."""
        caller, info = self._caller(request), request.match_info
        members = await read_object(request)
        named = members.get("managedObject")
        if isinstance(named, dict):
            child = str(named.get("id", ""))
        else:
            self._inventory.get(caller.tenant, info["id"])
            child = str(self._inventory.create(caller.tenant, caller.name, members)["id"])
        document = self._inventory.adopt(caller.tenant, info["id"], info["kind"], child)
        return answer({"managedObject": self._shown(request, document)}, "managedobjectreference", 201)

    async def release(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        self._inventory.release(self._caller(request).tenant, info["id"], info["kind"], info["child"])
        return web.Response(status=204)

    def _references(self, request: web.Request, tenant: str, id: str, kind: str) -> dict[str, object]:
        documents = (self._inventory.find(tenant, child) for child in self._inventory.children(tenant, id, kind))
        shown = [{"managedObject": self._shown(request, document)} for document in documents if document]
        return {"self": f"{link(request, PATH)}/{id}/{kind}", "references": shown}

    def _shown(self, request: web.Request, document: Document) -> Document:
        return {**document, "self": f"{link(request, PATH)}/{document['id']}"}

    def _answer(self, request: web.Request, document: Document, status: int = 200) -> web.Response:
        shown = self._shown(request, document)
        return answer(shown, "managedobject", status, Location=str(shown["self"]))


def link(request: web.Request, path: str) -> str:
    """The address of an interface as the caller sees it, whatever prefix was used."""
    return str(request.url.origin()) + request.path.partition(path)[0] + path


def _tests(request: web.Request) -> Iterator[Test]:
    """What the query parameters ask of a managed object."""
    query = request.query
    for name in ("type", "owner", "name"):
        if name in query:
            yield lambda document, name=name: document.get(name) == query[name]  # type: ignore[misc]
    if "fragmentType" in query:
        yield lambda document: query["fragmentType"] in document
    if "ids" in query:
        ids = set(query["ids"].split(","))
        yield lambda document: document["id"] in ids
    yield from expressed(query.get("q") or query.get("query") or "")


def expressed(expression: str) -> Iterator[Test]:
    """The conditions of the query language's small part we understand; 422 for the rest."""
    text = expression.partition("$orderby=")[0].strip().removeprefix("$filter=").strip()
    for condition in re.split(r"\s+and\s+", text) if text else []:
        match = CONDITION.fullmatch(condition.strip())
        if match is None:
            raise unprocessable("inventory", "the emulator understands has(…) and … eq '…', joined by and")
        fragment, name, quoted, bare = match.groups()
        if fragment:
            yield lambda document, fragment=fragment: fragment in document  # type: ignore[misc]
        else:
            wanted = bare or quoted.replace("''", "'")
            yield lambda document, name=name, wanted=wanted: document.get(name) == wanted  # type: ignore[misc]
