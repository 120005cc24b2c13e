"""Reading a request's body, whole or not at all.

A delivery is kept byte for byte, so nothing here decodes, truncates or guesses. Call it after the sender is
authenticated, never before: until then a long body stays on the wire (``web.server``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO
from wsgiref.types import WSGIEnvironment

from flask import Request

from subscriber.errors import RefusedDelivery, UnreadableRequest

UNPREFIXED = ("CONTENT_TYPE", "CONTENT_LENGTH")  # fields that have names of their own in an environment (PEP 3333)


def read_body(request: Request, limit: int) -> bytes:
    """The body of a request that Flask has, see ``read_input``."""
    return read_input(request.environ, limit)


class HeaderFields(Mapping[str, str]):
    """The header fields of a request by their lower-case names. Read as they are asked for: few ever are."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        found: str = self._environ[key if key in UNPREFIXED else "HTTP_" + key]
        return found

    def __iter__(self) -> Iterator[str]:
        for key in self._environ:
            if key.startswith("HTTP_") or key in UNPREFIXED:
                yield key.removeprefix("HTTP_").lower().replace("_", "-")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def read_input(environ: WSGIEnvironment, limit: int) -> bytes:
    """The exact bytes of the body, at most ``limit`` of them, chunked or not; empty if there is none.

    Raises ``RefusedDelivery`` (413 ``too_large``, 415 ``encoded``), ``UnreadableRequest`` if it does not arrive whole
    and in time, ``Overloaded`` if this process holds too much already.
    """
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedDelivery("the body is encoded, send it plain", reason="encoded", status=415)
    declared = _declared_length(environ)
    if declared is not None and declared > limit:
        raise _too_large(limit)
    stream: BinaryIO = environ["wsgi.input"]
    body = stream.read(limit + 1 if declared is None else declared)
    if len(body) > limit:
        raise _too_large(limit)
    if declared is not None and len(body) < declared:
        raise UnreadableRequest("the body broke off", reason="broken_body", status=400)
    return body


def _declared_length(environ: WSGIEnvironment) -> int | None:
    """None for a chunked body. The server lets through nothing but digits."""
    text = environ.get("CONTENT_LENGTH", "")
    return int(text) if text and environ.get("HTTP_TRANSFER_ENCODING") is None else None


def _too_large(limit: int) -> RefusedDelivery:
    return RefusedDelivery(f"the body exceeds {limit} bytes", reason="too_large", status=413)
