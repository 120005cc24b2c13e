"""Refusals in Pelion's two shapes: a JSON object almost everywhere, bare words for device requests.

``{"object":"error","code","type","message","request_id"}`` as in the vendor's troubleshooting page. Which shape the
notification addresses use is not published; the JSON one is assumed, and clients look at the status only.
"""

from __future__ import annotations

import json
import logging
import secrets

from aiohttp import web
from aiohttp.typedefs import Handler

from emulator.faults import Faults

LOG = logging.getLogger("emulator")
TYPES = {
    400: "bad_request",
    401: "invalid_auth",
    403: "access_denied",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    412: "precondition_failed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    426: "upgrade_required",
    429: "too_many_requests",
    500: "internal_server_error",
    502: "not_connected",
}
MESSAGE_CHARS = 300  # what an answer repeats of a stranger's words
RETRY_AFTER_S = 1  # of the fault api-429
BODY_LIMIT = 4_194_304  # 1 MiB of resource value is 1.4 MiB of base64; a full set of rules is smaller


class Refusal(Exception):
    """A request that is answered with ``status``; ``word`` makes the answer one bare word of text."""

    def __init__(self, status: int, message: str, *, word: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message[:MESSAGE_CHARS]
        self.word = word


def refusal_response(refusal: Refusal) -> web.Response:
    if refusal.word:
        return web.Response(status=refusal.status, text=refusal.word)
    body = {
        "object": "error",
        "code": refusal.status,
        "type": TYPES[refusal.status],
        "message": refusal.message,
        "request_id": secrets.token_hex(16),
    }
    headers = {"Retry-After": str(RETRY_AFTER_S)} if refusal.status == 429 else {}
    return web.json_response(body, status=refusal.status, headers=headers)


def guarded(handler: Handler, faults: Faults) -> Handler:
    """The handler with declared faults before it, and every refusal and every bug in the platform's shape."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            _fail_if_struck(faults)
            return await handler(request)
        except Refusal as refusal:
            return refusal_response(refusal)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # top of a request's task
            LOG.exception("action=request_failed path=%s", request.path)
            return refusal_response(Refusal(500, "the emulator has a bug: see its log"))

    return answer


def _fail_if_struck(faults: Faults) -> None:
    if faults.strikes("api-5xx"):
        raise Refusal(500, "declared fault")
    if faults.strikes("api-429"):
        raise Refusal(429, "declared fault")


async def wrong_verb(request: web.Request) -> web.StreamResponse:
    raise Refusal(405, f"{request.method} is not allowed here")


async def read_json(request: web.Request) -> object:
    """The request's JSON, None for an empty body; 400, 413 or 415 for what cannot be read."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Refusal(413, f"the body exceeds {BODY_LIMIT} bytes")
    if not body:
        return None
    if request.content_type != "application/json":
        raise Refusal(415, "send application/json")
    try:
        found: object = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "the body is not JSON") from error
    return found
