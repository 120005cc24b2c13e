"""Which request a log line belongs to: the id that whoever sent it knows it by.

Gateways and routers give each request an id and log it themselves: the platform's ``X-Correlation-ID`` (assumed, see
its reference), Cloud Foundry's ``X-Vcap-Request-Id``, others' ``X-Request-ID``. Lines logged while such a request is
answered end with ``request=<id>``. The id is a stranger's text: one that looks like anything else is left out.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from wsgiref.types import WSGIEnvironment

HEADERS = ("HTTP_X_CORRELATION_ID", "HTTP_X_REQUEST_ID", "HTTP_X_VCAP_REQUEST_ID")  # the first that is there
ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

_answered: ContextVar[WSGIEnvironment | None] = ContextVar("answered", default=None)


class Answering:
    """``with`` it while a request is answered."""

    __slots__ = ("_before", "_environ")

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def __enter__(self) -> None:
        self._before = _answered.set(self._environ)

    def __exit__(self, *_error: object) -> None:
        _answered.reset(self._before)


class OfRequest(logging.Filter):
    """Adds ``request`` to records; refuses none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if found := correlation_id():
            record.request = found
        return True


def correlation_id() -> str:
    """Of the current request; empty if it has none, or there is no request."""
    environ = _answered.get() or {}
    given = next((value for name in HEADERS if (value := environ.get(name))), "")
    return given if ID.fullmatch(given) else ""


def mark_log_lines() -> None:
    """From now on lines of this process tell their request. Calling it again changes nothing."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(each, OfRequest) for each in handler.filters):
            handler.addFilter(OfRequest())
