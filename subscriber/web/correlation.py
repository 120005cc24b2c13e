"""Which request a log line belongs to: the id that whoever sent it knows it by.

Gateways and routers give each request an id and log it themselves: the platform's ``X-Correlation-ID`` (assumed, see
its reference), Cloud Foundry's ``X-Vcap-Request-Id``, others' ``X-Request-ID``. Lines logged while such a request is
answered end with ``request=<id>``. The id is a stranger's text: one that looks like anything else is left out.
"""

from __future__ import annotations

import logging
import re

from flask import has_request_context, request

HEADERS = ("X-Correlation-ID", "X-Request-ID", "X-Vcap-Request-Id")  # the first that is there
ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class OfRequest(logging.Filter):
    """Adds ``request`` to records; refuses none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if has_request_context() and (found := correlation_id()):
            record.request = found
        return True


def correlation_id() -> str:
    """Of the current request; empty if it has none."""
    given = next((value for name in HEADERS if (value := request.headers.get(name))), "")
    return given if ID.fullmatch(given) else ""


def mark_log_lines() -> None:
    """From now on lines of this process tell their request. Calling it again changes nothing."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(each, OfRequest) for each in handler.filters):
            handler.addFilter(OfRequest())
