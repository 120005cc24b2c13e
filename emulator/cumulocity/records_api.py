"""``/alarm/alarms``, ``/event/events``, ``/measurement/measurements``, ``/devicecontrol/operations``.

Core OpenAPI specification, one chapter each: create, read, list in pages, change, delete where the platform does.
The header ``X-Cumulocity-Processing-Mode`` with QUIESCENT or CEP keeps measurements and events from being told on;
that Notification 2.0 obeys it is assumed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from emulator.cumulocity.access import Access
from emulator.cumulocity.directory import User
from emulator.cumulocity.documents import Document
from emulator.cumulocity.errors import Handler, answer, guarded, read_object, unprocessable, wrong_verb
from emulator.cumulocity.inventory_api import SLASH, link
from emulator.cumulocity.paging import collection
from emulator.cumulocity.records import EVENT, KINDS, MEASUREMENT, Kind, Records

MODE_HEADER = "X-Cumulocity-Processing-Mode"
QUIET_MODES = frozenset({"QUIESCENT", "CEP"})
BATCH_LIMIT = 10_000  # measurements in one request
FILTERS = {"type": "type", "severity": "severity", "status": "status"}
Call = Callable[[web.Request, Kind], Awaitable[web.StreamResponse]]
LISTS = frozenset({"severity", "status"})  # several words with commas between


class RecordsApi:
    """The same handlers for each kind."""

    def __init__(self, access: Access, records: Records) -> None:
        self._access = access
        self._records = records

    def routes(self, base: str) -> list[web.RouteDef]:
        return [route for kind in KINDS for route in self._routes(base + kind.path, kind)]

    def _routes(self, path: str, kind: Kind) -> list[web.RouteDef]:
        several, one = path + SLASH, f"{path}/{SLASH}{{id}}"
        calls: list[tuple[str, str, Call]] = [
            ("GET", several, self.select),
            ("POST", several, self.create),
            ("GET", one, self.get),
            ("PUT", one, self.update),
            ("DELETE", one, self.delete),
        ]
        routes = [web.route(verb, address, guarded(_of(kind, call))) for verb, address, call in calls]
        return [*routes, *(web.route("*", address, guarded(wrong_verb)) for address in (several, one))]

    def _caller(self, request: web.Request, kind: Kind) -> User:
        level = "READ" if request.method == "GET" else "ADMIN"
        return self._access.caller(request, f"ROLE_{kind.role}_{level}")

    async def select(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        caller, query = self._caller(request, kind), request.query
        source = query.get("source") or query.get("deviceId")
        newest_first = query.get("revert", "").lower() != "true"
        tests = list(_tests(request, kind))
        found = (
            _shown(request, kind, document)
            for document in self._records.select(caller.tenant, kind, source, newest_first=newest_first)
            if all(test(document) for test in tests)
        )
        return answer(collection(request, kind.api, found), f"{kind.name}collection")

    async def create(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        caller = self._caller(request, kind)
        members = await read_object(request)
        told = not (kind in (MEASUREMENT, EVENT) and request.headers.get(MODE_HEADER, "").upper() in QUIET_MODES)
        batch = members.get(kind.api)
        if kind is MEASUREMENT and isinstance(batch, list):
            return self._create_batch(request, caller, batch, told)
        document = self._records.create(caller.tenant, kind, members, told=told)
        return _answer(request, kind, document, 201)

    def _create_batch(self, request: web.Request, caller: User, batch: list[object], told: bool) -> web.Response:
        if len(batch) > BATCH_LIMIT or not all(isinstance(members, dict) for members in batch):
            raise unprocessable(MEASUREMENT.name, f"measurements is a list of up to {BATCH_LIMIT} objects")
        made = [
            _shown(request, MEASUREMENT, self._records.create(caller.tenant, MEASUREMENT, members, told=told))
            for members in batch
            if isinstance(members, dict)
        ]
        return answer({MEASUREMENT.api: made}, "measurementcollection", 201)

    async def get(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        caller = self._caller(request, kind)
        return _answer(request, kind, self._records.get(caller.tenant, kind, request.match_info["id"]))

    async def update(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        caller = self._caller(request, kind)
        members = await read_object(request)
        return _answer(request, kind, self._records.update(caller.tenant, kind, request.match_info["id"], members))

    async def delete(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        caller = self._caller(request, kind)
        self._records.delete(caller.tenant, kind, request.match_info["id"])
        return web.Response(status=204)


def _of(kind: Kind, call: Call) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await call(request, kind)

    return handler


def _tests(request: web.Request, kind: Kind) -> Iterator[Callable[[Document], bool]]:
    query = request.query
    for parameter, member in FILTERS.items():
        if parameter in query:
            words = set(query[parameter].split(",")) if parameter in LISTS else {query[parameter]}
            yield lambda document, member=member, words=words: document.get(member) in words  # type: ignore[misc]
    moment = "creationTime" if kind.flat_source else "time"  # operations have no time of their own
    if "dateFrom" in query:
        yield lambda document: str(document.get(moment, "")) >= query["dateFrom"]
    if "dateTo" in query:
        yield lambda document: str(document.get(moment, "")) <= query["dateTo"]
    if "fragmentType" in query:
        yield lambda document: query["fragmentType"] in document


def _shown(request: web.Request, kind: Kind, document: Document) -> Document:
    return {**document, "self": f"{link(request, kind.path)}/{document['id']}"}


def _answer(request: web.Request, kind: Kind, document: Document, status: int = 200) -> web.Response:
    shown = _shown(request, kind, document)
    return answer(shown, kind.name, status, Location=str(shown["self"]))
