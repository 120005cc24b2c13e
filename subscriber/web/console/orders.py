"""Forms that ask for something to be done: refused when another site sent them, then read.

A browser adds a signed-in person's session to whatever any site makes it send. So an order is only taken when the
browser itself says that one of our own pages sent it: ``Sec-Fetch-Site: same-origin`` (W3C, Fetch Metadata Request
Headers), or, from a browser too old for that, an ``Origin`` that is this very host. Stateless: there is no token to
keep. The platform's gateway checks its own one besides (cookie ``XSRF-TOKEN`` = header ``X-XSRF-TOKEN``), which the
console's script adds where that cookie is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from flask import Request
from werkzeug.datastructures import Headers

from subscriber.errors import Forbidden, SubscriberError
from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST, Tenant
from subscriber.web.reading import read_body

FORM_BYTES = 16_384  # a dozen short fields; a topic has at most 255 characters
FIELDS = 32
PLATFORMS = (MINDSPHERE, CUMULOCITY, SMARTREST, PELION)
FORM_TYPE = "application/x-www-form-urlencoded"


class BadForm(SubscriberError):
    """What a form or an address says cannot be read; ``detail`` names the field."""

    reason = "form"
    status = 400


def refuse_cross_site(headers: Headers, host: str) -> None:
    """Raises ``Forbidden`` (reason ``cross_site``) unless a page of ours sent the request."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        ours = site == "same-origin"
    else:
        ours = urlsplit(headers.get("Origin", "")).netloc == host
    if not ours:
        raise Forbidden("this order did not come from a page of the console", reason="cross_site")


class Form(NamedTuple):
    """Fields of a form or of an address, each once; empty ones count as absent."""

    fields: Mapping[str, str]

    def text(self, name: str) -> str | None:
        return self.fields.get(name) or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise BadForm(f"{name} is missing")
        return value

    def tenant(self) -> Tenant | None:
        value = self.text("tenant")
        if value is None:
            return None
        tenant = Tenant.parse(value.strip())
        if not tenant.platform or not tenant.name:
            raise BadForm("tenant reads platform/name")
        return tenant

    def platform(self) -> str | None:
        name = self.text("platform")
        if name is not None and name not in PLATFORMS:
            raise BadForm(f"platform is one of {', '.join(PLATFORMS)}")
        return name

    def moment(self, name: str) -> datetime | None:
        """A time in UTC: what an input of the kind ``datetime-local`` gives, with or without a Z."""
        value = self.text(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise BadForm(f"{name} is not a time such as 2026-03-01T12:00") from error

    def number(self, name: str) -> int | None:
        """A whole number from 0 to what a column holds."""
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 18):
            raise BadForm(f"{name} is not a whole number")
        return int(value)


def read_form(request: Request) -> Form:
    """The form in a request's body. Raises ``BadForm`` and what ``read_body`` raises."""
    if request.mimetype != FORM_TYPE:
        raise BadForm(f"send it as {FORM_TYPE}")
    return _form(read_body(request, FORM_BYTES))


def read_query(request: Request) -> Form:
    """What the address says after its question mark."""
    return _form(request.query_string)


def _form(data: bytes) -> Form:
    try:
        pairs = parse_qsl(data.decode("ascii"), errors="strict", max_num_fields=FIELDS)
    except ValueError as error:
        raise BadForm("these fields cannot be read") from error
    return Form(dict(pairs))
