"""The OpenAPI 3.1 document of the API, made from what the API runs on: its parameters, items, pages and errors."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from subscriber.errors import (
    Forbidden,
    InvalidCursor,
    InvalidParameter,
    InvalidToken,
    NotFound,
    SubscriberError,
    Unavailable,
)
from subscriber.web.api.items import DETAILED, Json
from subscriber.web.api.listing import PAGE
from subscriber.web.api.parameters import KEY_PATTERN, LISTED, PLATFORM, STREAMED, TEXT, Parameter

API_VERSION = "1.0.0"
JSON = "application/json"
ASKED_WRONGLY: tuple[type[SubscriberError], ...] = (InvalidParameter, InvalidCursor)
ALWAYS: tuple[type[SubscriberError], ...] = (InvalidToken, Forbidden, Unavailable)

ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "reason": {"type": "string", "description": "a short word that stays the same"},
                "detail": {"type": "string", "description": "for people"},
            },
            "required": ["reason", "detail"],
        }
    },
    "required": ["error"],
}


def document(app: str, gateway: str) -> Json:
    """``app`` begins the scope, ``gateway`` is the address of the application there; empty if there is none."""
    servers = [{"url": "/", "description": "this service"}]
    if gateway:
        servers.append({"url": gateway, "description": "through the platform's gateway, which demands a token too"})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Notifications of {app}",
            "version": API_VERSION,
            "description": "A tenant's notifications: those of the token's tenant, and of tenants elsewhere that "
            "its users may see. What is unknown and what is somebody else's are answered alike.",
        },
        "servers": servers,
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": f"with the scope {app}.read",
                }
            },
            "schemas": {"Error": ERROR},
        },
    }


def _paths() -> Json:
    key = {"type": "string", "pattern": f"^{KEY_PATTERN}$"}
    return {
        "/api/notifications": {
            "get": _operation("listNotifications", "Pages of notifications", LISTED, ASKED_WRONGLY, _json(PAGE))
        },
        "/api/notifications/{platform}/{tenant}/{key}": {
            "parameters": [
                _placed("path", "platform", PLATFORM.schema, "of its tenant", required=True),
                _placed("path", "tenant", TEXT, "name of its tenant", required=True),
                _placed("path", "key", key, "its key", required=True),
            ],
            "get": _operation(
                "getNotification", "One notification", (), (InvalidParameter, NotFound), _json(DETAILED)
            ),
        },
        "/api/stream": {
            "parameters": [
                _placed("header", "Last-Event-ID", {"type": "string"}, "`id` of the last event seen; before `cursor`")
            ],
            "get": _operation(
                "streamNotifications",
                "Notifications as they arrive, from now or from a cursor on, for 55 seconds at a time: `event` is "
                "notification, `id` a cursor, `data` an item of the list",
                STREAMED,
                ASKED_WRONGLY,
                {"text/event-stream": {"schema": {"type": "string"}}},
            ),
        },
        "/api/openapi.json": {"get": _operation("getOpenapi", "This document", (), (), _json({"type": "object"}))},
        "/api/asyncapi.json": {
            "get": _operation("getAsyncapi", "What arrives, per topic", (), (), _json({"type": "object"}))
        },
    }


def _json(schema: Json) -> Json:
    return {JSON: {"schema": schema}}


def _operation(
    id: str,
    summary: str,
    parameters: Sequence[Parameter],
    refusals: Sequence[type[SubscriberError]],
    content: Json,
) -> Json:
    return {
        "operationId": id,
        "summary": summary,
        "parameters": [_placed("query", one.name, one.schema, one.help) for one in parameters],
        "responses": {"200": {"description": HTTPStatus.OK.phrase, "content": content}, **_refused(refusals)},
    }


def _placed(place: str, name: str, schema: Json, help: str, *, required: bool = False) -> Json:
    return {"in": place, "name": name, "required": required, "description": help, "schema": schema}


def _refused(kinds: Sequence[type[SubscriberError]]) -> Json:
    """Answers by status; what several errors share is told once."""
    reasons: dict[int, list[str]] = {}
    for kind in (*kinds, *ALWAYS):
        reasons.setdefault(kind.status, []).append(kind.reason)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(found)} and the like",
            "content": _json({"$ref": "#/components/schemas/Error"}),
        }
        for status, found in sorted(reasons.items())
    }
