"""The one shape of an error answer, for Flask and for the server below it (contract, section HTTP).

    {"error": {"reason": slug, "detail": text}}

The server speaks it too: a request that is refused before Flask sees it looks no different to the caller.
Never put anything here that came from a request or from an exception we did not write ourselves.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import orjson

from subscriber.errors import InvalidToken, SubscriberError

# Nothing we send is a page, a script or cacheable; whoever serves one (the console) says so itself.
STRICT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Answer(NamedTuple):
    """A response, before any framework has seen it. ``headers`` are complete but for those of the connection."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def plain_answer(status: int) -> Answer:
    """An answer that says nothing but its status."""
    headers = STRICT_HEADERS if status == HTTPStatus.NO_CONTENT else STRICT_HEADERS | {"Content-Length": "0"}
    return Answer(status, headers)


def error_answer(error: SubscriberError) -> Answer:
    """What a caller is told of one of our errors."""
    body = error_document(error.reason, error.detail)
    headers = STRICT_HEADERS | {"Content-Type": "application/json", "Content-Length": str(len(body))}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, InvalidToken):
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 wants one beside every 401
    return Answer(error.status, headers, body)


def internal_answer() -> Answer:
    """What a caller is told of a bug: nothing."""
    return refusing_answer(500, "internal", {})


def refusing_answer(status: int, reason: str, more_headers: dict[str, str]) -> Answer:
    """An error that needs no detail."""
    body = error_document(reason, "")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return Answer(status, STRICT_HEADERS | headers | more_headers, body)


def error_document(reason: str, detail: str) -> bytes:
    """The JSON body of an error answer."""
    return orjson.dumps({"error": {"reason": reason, "detail": detail}})


def closing_answer(status: int, reason: str, detail: str, retry_after_seconds: int | None = None) -> bytes:
    """A complete HTTP/1.1 response with an error document, the last one on its connection."""
    body = error_document(reason, detail)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (headers | STRICT_HEADERS).items()]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
