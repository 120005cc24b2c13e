"""How a page is made: templates of ours, strict headers, and one way each to write times, counts and links.

Links are relative to the page they stand on, because only the browser knows what stands before `/console`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote, urlencode

from flask import Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from subscriber.errors import Forbidden, InvalidToken, SubscriberError
from subscriber.model import Tenant
from subscriber.store import Clock
from subscriber.web.console.sight import Sight

STATIC = Path(__file__).parent / "static"

# Everything a page needs comes from here; nothing in it runs or styles by itself; nobody may frame it.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ADVICE = {
    InvalidToken: "Open this page through the platform's gateway: it signs you in and adds the token.",
    Forbidden: "You are signed in, yet this is not for you: what is missing is named above. Roles are given out in "
    "your tenant's settings.",
}
UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


class Pages:
    """Renders templates. One per process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._templates = Environment(
            loader=PackageLoader("subscriber.web.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters = {"moment": moment, "number": number, "duration": duration, "tenant_path": tenant_path, "dots": dots}
        self._templates.filters.update(filters)
        self._templates.globals.update(static=_static, link=link)

    def show(self, template: str, sight: Sight, status: int = 200, **context: object) -> Response:
        """A page for who is signed in. ``context`` is what its template names."""
        now = self._clock().replace(microsecond=0)
        shown = {"root": root(request.path), "sight": sight, "now": now, "page": template, **context}
        return self._render(template, shown, status)

    def error(self, error: SubscriberError) -> Response:
        """What went wrong; says nothing that ``error`` does not."""
        context = {"root": root(request.path), "error": error, "advice": advice(error), "page": "error"}
        return self._render("error", context, error.status)

    def _render(self, template: str, context: Mapping[str, object], status: int) -> Response:
        text = self._templates.get_template(f"{template}.html").render(context)
        response = Response(text, status=status, content_type="text/html; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        return response


def root(path: str) -> str:
    """The way from a page back to the console's own address, with the slash."""
    below = path.partition("/console/")[2]
    return "../" * below.count("/") or "./"


def link(address: str, **fields: object) -> str:
    """An address with those fields that have a value behind its question mark."""
    given = {name: _field(value) for name, value in fields.items() if value not in (None, "")}
    return f"{address}?{urlencode(given)}" if given else address


def _field(value: object) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else str(value)


def tenant_path(tenant: Tenant) -> str:
    """A tenant as two segments of an address."""
    return f"{quote(tenant.platform, safe='')}/{quote(tenant.name, safe='')}"


def dots(name: str) -> Markup:
    """A long name that may break after its dots."""
    return Markup(".<wbr>").join(name.split("."))


def moment(at: datetime) -> Markup:
    """A time in full, to the second, in UTC."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def number(count: float) -> str:
    """A count as people read it; parts of one only below ten."""
    return f"{count:,.1f}" if count != int(count) and count < 10 else f"{round(count):,}"


def duration(length: timedelta) -> str:
    """The two largest units: 3 d 4 h, 12 min 5 s. Nothing below a second."""
    seconds = max(0, int(length.total_seconds()))
    parts: list[str] = []
    for name, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def advice(error: SubscriberError) -> str:
    """What whoever is not let in can do about it; empty if we know nothing."""
    if error.retry_after_seconds is not None:
        return f"Try again in {error.retry_after_seconds} seconds."
    return next((words for kind, words in ADVICE.items() if isinstance(error, kind)), "")


@cache
def static_file(name: str) -> bytes:
    """One of our own small files. ``name`` never comes from outside."""
    return (STATIC / name).read_bytes()


def _static(name: str) -> str:
    """A file's address below the root, which changes with its content."""
    return f"static/{name}?v={blake2b(static_file(name), digest_size=6).hexdigest()}"
