"""What a tenant's own applications may ask: their notifications, as pages and as they arrive.

Every answer is read through reports that are blind to other tenants, so a question that forgot its tenant would find
nothing. What does not exist and what is somebody else's are answered alike, to the letter. Contract: section HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, request

from subscriber.access import Reader
from subscriber.errors import NotFound
from subscriber.model import Tenant
from subscriber.people import People
from subscriber.store import Reports, RowFilter
from subscriber.web.answers import STRICT_HEADERS, Answer
from subscriber.web.api import parameters
from subscriber.web.api.description import Documents
from subscriber.web.api.items import Json, detailed
from subscriber.web.api.listing import Question, arrived, newest
from subscriber.web.api.places import Order, Seal
from subscriber.web.api.stream import Stream
from subscriber.web.deferral import DEFER, Deferral, Line, Promised
from subscriber.web.live import Live

BEHIND_GATEWAY = "/api/<application>/<version>"  # where the gateway does not strip its prefix
LIST = "/api/notifications"
ONE = LIST + "/<platform>/<tenant>/<key>"
STREAM = "/api/stream"
OPENAPI = "/api/openapi.json"
ASYNCAPI = "/api/asyncapi.json"
LAST_EVENT_ID = "Last-Event-ID"
STREAM_HEADERS = STRICT_HEADERS | {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


def add_api(app: Flask, people: People, reports: Reports, seal: Seal, documents: Documents) -> None:
    """Serve the API, at its own addresses and at those it has behind a gateway."""
    api = blueprint(people, reports, seal, documents)
    api.url_value_preprocessor(_drop_prefix)
    app.register_blueprint(api)
    app.register_blueprint(api, url_prefix=BEHIND_GATEWAY, name="api_behind_gateway")


def _drop_prefix(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """What a gateway put before our address says nothing to us."""
    for name in ("application", "version"):
        (values or {}).pop(name, None)


def blueprint(people: People, reports: Reports, seal: Seal, documents: Documents) -> Blueprint:
    """The API's routes."""
    api = Blueprint("api", __name__)
    live = Live(reports.end)

    def reader() -> Reader:
        return people.reader(request.headers.get("Authorization"))

    def listed() -> Response:
        who = reader()
        given = parameters.read(parameters.LISTED, request.args)
        question = Question(
            _reports(reports, who, given),
            _own(who),
            _filter(given),
            given.get("cursor", ""),
            given.get("limit", parameters.DEFAULT_ITEMS),
        )
        answer = arrived if given.get("order") is Order.ARRIVAL else newest
        return _json(answer(question, seal))

    def one(platform: str, tenant: str, key: str) -> Response:
        who = reader()
        parameters.read((), request.args)
        row = None
        if Tenant(platform, tenant) in who.tenants and parameters.KEY.fullmatch(key):
            row = reports.within(who.tenants).row(Tenant(platform, tenant), bytes.fromhex(key))
        if row is None:
            raise NotFound("there is no such notification")
        return _json(detailed(row))

    def streamed() -> Response:
        who = reader()
        given = parameters.read(parameters.STREAMED, request.args)
        own = _reports(reports, who, given)
        place = request.headers.get(LAST_EVENT_ID) or given.get("cursor", "")
        cursor = seal.opened(place, Order.ARRIVAL, _own(who)) if place else own.end()
        left = (who.expires_at - datetime.now(UTC)).total_seconds()
        told = Stream(own, _filter(given), cursor, seal, _own(who), time.monotonic(), left)
        told.begin()
        if DEFER in request.environ and request.method == "GET":
            return _hand_over(live, told, request.environ[DEFER])
        return Response(
            told.opening, headers=STREAM_HEADERS
        )  # a server that cannot hand over: the client comes again

    def openapi() -> Response:
        reader()
        return _json(documents.openapi)

    def asyncapi() -> Response:
        reader()
        return _json(documents.asyncapi)

    for rule, view in ((LIST, listed), (ONE, one), (STREAM, streamed), (OPENAPI, openapi), (ASYNCAPI, asyncapi)):
        api.add_url_rule(rule, view.__name__, view, methods=["GET"])
    return api


def _own(who: Reader) -> str:
    """The tenant that asks: seals and seats are its own."""
    return who.tenants[0].name


def _reports(reports: Reports, who: Reader, given: Mapping[str, Any]) -> Reports:
    """What this reader may see, of one platform if that is asked for."""
    platform = given.get("platform")
    return reports.within([tenant for tenant in who.tenants if platform in (None, tenant.platform)])


def _filter(given: Mapping[str, Any]) -> RowFilter:
    names = ("topic", "source", "state", "since", "until")
    return RowFilter(**{name: given[name] for name in names if name in given})


def _hand_over(live: Live, told: Stream, deferral: Deferral) -> Response:
    """Leave the thread: the connection is told on with all others'. A seat is held until then."""
    live.sit(told.reader)

    def receive(line: Line) -> None:
        live.tell(told, line)

    deferral.hand_over = receive
    deferral.give(lambda: Answer(200, STREAM_HEADERS))
    deferral.promise()
    return Promised()


def _json(document: Json) -> Response:
    return Response(orjson.dumps(document), content_type="application/json")
