"""The platform's error envelope: every refusal of every MindSphere address has this one shape.

``{"errors":[{"code","logref","message"}]}`` with codes under ``mdsp.core.generic.`` (Message Broker API
specification). Which situation gets which code is partly assumed: docs/fidelity.md, row C16.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

LOG = logging.getLogger("emulator")
CODE_PREFIX = "mdsp.core.generic."
STATUS_BY_CODE = {
    "invalidParameter": 400,
    "invalidRequestBodyProperty": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "noMatch": 404,
    "methodNotAllowed": 405,  # assumed: no code is published
    "payloadTooLarge": 413,
    "unsupportedMediaType": 415,
    "tooManyRequests": 429,
    "headersTooLarge": 431,  # assumed
    "internalServerError": 500,
    "badGateway": 502,  # assumed
    "gatewayTimeout": 504,  # assumed
}
MESSAGE_CHARS = 300  # what an answer repeats of a stranger's words

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PlatformError(Exception):
    """A refusal; ``code`` is the suffix after the common prefix."""

    def __init__(self, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUS_BY_CODE[code]
        self.message = message[:MESSAGE_CHARS]
        self.retry_after_s = retry_after_s


def envelope(error: PlatformError) -> web.Response:
    body = {"errors": [{"code": CODE_PREFIX + error.code, "logref": secrets.token_hex(8), "message": error.message}]}
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return web.json_response(body, status=error.status, headers=headers)


def guarded(handler: Handler) -> Handler:
    """The handler with every refusal, and every bug, in the envelope."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except PlatformError as error:
            return envelope(error)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # top of a request's task
            LOG.exception("action=request_failed path=%s", request.path)
            return envelope(PlatformError("internalServerError", "the emulator has a bug: see its log"))

    return answer


async def wrong_verb(request: web.Request) -> web.StreamResponse:
    """For known addresses: the verb is wrong (reference, section 2.5)."""
    raise PlatformError("methodNotAllowed", f"{request.method} is not allowed here")


async def read_body(request: web.Request, limit: int) -> bytes:
    """The request's body, at most ``limit`` bytes of it: more is refused, never cut."""
    chunks = bytearray()
    async for chunk in request.content.iter_any():
        chunks += chunk
        if len(chunks) > limit:
            raise PlatformError("payloadTooLarge", f"the body exceeds {limit} bytes")
    return bytes(chunks)


def parse_object(body: bytes) -> dict[str, object]:
    """A JSON object, else 400."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PlatformError("invalidRequestBodyProperty", "the body is not JSON") from error
    if not isinstance(value, dict):
        raise PlatformError("invalidRequestBodyProperty", "the body is not a JSON object")
    return value
