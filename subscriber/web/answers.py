"""The one shape of an error answer, for Flask and for the server below it (contract, section HTTP).

    {"error": {"reason": slug, "detail": text}}

The server speaks it too: a request that is refused before Flask sees it looks no different to the caller.
Never put anything here that came from a request or from an exception we did not write ourselves.
"""

from __future__ import annotations

from http import HTTPStatus

import orjson

# Nothing we send is a page, a script or cacheable; whoever serves one (the console) says so itself.
STRICT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


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
