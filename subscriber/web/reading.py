"""Reading a request's body, whole or not at all.

A delivery is kept byte for byte, so nothing here decodes, truncates or guesses. Call it after the sender is
authenticated, never before: until then a long body stays on the wire (``web.server``).
"""

from __future__ import annotations

from typing import BinaryIO

from flask import Request

from subscriber.errors import RefusedDelivery, UnreadableRequest


def read_body(request: Request, limit: int) -> bytes:
    """The exact bytes of the body, at most ``limit`` of them, chunked or not; empty if there is none.

    Raises ``RefusedDelivery`` (413 ``too_large``, 415 ``encoded``), ``UnreadableRequest`` if it does not arrive whole
    and in time, ``Overloaded`` if this process holds too much already.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedDelivery("the body is encoded, send it plain", reason="encoded", status=415)
    declared = request.content_length
    if declared is not None and declared > limit:
        raise _too_large(limit)
    stream: BinaryIO = request.environ["wsgi.input"]
    body = stream.read(limit + 1 if declared is None else declared)
    if len(body) > limit:
        raise _too_large(limit)
    if declared is not None and len(body) < declared:
        raise UnreadableRequest("the body broke off", reason="broken_body", status=400)
    return body


def _too_large(limit: int) -> RefusedDelivery:
    return RefusedDelivery(f"the body exceeds {limit} bytes", reason="too_large", status=413)
