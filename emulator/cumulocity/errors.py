"""The platform's error body and media types: every refusal of every Cumulocity address has this one shape.

``{"error","message","info"}``, always texts, under ``…cumulocity.error+json`` (core OpenAPI specification). Which
words stand in the body of a 422 is assumed: docs/fidelity.md, row N2-3.7.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps

import orjson
from aiohttp import web

LOG = logging.getLogger("emulator")
INFO = "https://cumulocity.com/guides/reference/rest-implementation/#error_reporting"
VENDOR = "application/vnd.com.nsn.cumulocity."
BODY_LIMIT = 16_777_216  # larger documents are refused, never cut
MESSAGE_CHARS = 300  # what an answer repeats of a stranger's words

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A refusal. ``error`` is ``family/Title``, as the platform names its errors."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message[:MESSAGE_CHARS]


def unauthorized() -> Refused:
    return Refused(401, "security/Unauthorized", "Invalid credentials! : Bad credentials")


def forbidden() -> Refused:
    return Refused(403, "security/Forbidden", "Access is denied.")


def unprocessable(family: str, message: str) -> Refused:
    return Refused(422, f"{family}/Unprocessable Entity", message)


def not_found(family: str, message: str) -> Refused:
    return Refused(404, f"{family}/Not Found", message)


def media_type(kind: str) -> str:
    """``alarm`` → the vendor type of one alarm, with the version the platform adds."""
    return f"{VENDOR}{kind}+json;charset=UTF-8;ver=0.9"


def answer(document: Mapping[str, object], kind: str, status: int = 200, **headers: str) -> web.Response:
    """A document of one of the platform's kinds."""
    return web.Response(
        body=orjson.dumps(document),
        status=status,
        headers={"Content-Type": media_type(kind), **headers},
    )


def refusal(error: Refused) -> web.Response:
    body = {"error": error.error, "message": error.message, "info": INFO}
    headers = {"WWW-Authenticate": 'Basic realm="Cumulocity"'} if error.status == 401 else {}
    return answer(body, "error", error.status, **headers)


def guarded(handler: Handler) -> Handler:
    """The handler with every refusal, and every bug, in the platform's shape."""

    @wraps(handler)
    async def reply(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as error:
            return refusal(error)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # top of a request's task
            LOG.exception("action=request_failed path=%s", request.path)
            return refusal(Refused(500, "general/Internal Error", "the emulator has a bug: see its log"))

    return reply


async def wrong_verb(request: web.Request) -> web.StreamResponse:
    raise Refused(405, "general/Method Not Allowed", f"{request.method} is not allowed here")


async def read_object(request: web.Request) -> dict[str, object]:
    """The request's JSON object whatever its media type says; nothing at all is an empty one."""
    chunks = bytearray()
    async for chunk in request.content.iter_any():
        chunks += chunk
        if len(chunks) > BODY_LIMIT:
            raise Refused(413, "general/Payload Too Large", f"the body exceeds {BODY_LIMIT} bytes")
    try:
        document = orjson.loads(chunks or b"{}")
    except ValueError as error:
        raise unprocessable("general", "the body is not JSON") from error
    if not isinstance(document, dict):
        raise unprocessable("general", "the body is not a JSON object")
    return document
