"""The operators' console: what was accepted, what became of it, and putting right what went wrong.

Server-rendered pages below `/console`, which work without scripts and from nobody else's server. Reading order:
``sight`` (what one operator may see) → ``orders`` (what may be asked for by a form) → ``pages`` (how a page is made)
→ ``charts`` and ``periods`` → one module a page: ``overview``, ``inbox``, ``dead``, ``letters``, ``subscriptions``
(with ``plans``, ``planning`` and ``applying``), ``tenants``, ``channels``, ``pauses``, ``live``, ``health``,
``actions``.

Never: a script or style within a page, an address with a host of its own (a gateway may strip the prefix it put
before ours), a number without the rows behind it, an action that leaves no line in the audit.
Access follows the contract, section HTTP; the rules are ``subscriber.access``.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from subscriber.errors import NotFound, SubscriberError
from subscriber.web.answers import error_answer
from subscriber.web.console.actions import add as add_actions
from subscriber.web.console.channels import add as add_channels
from subscriber.web.console.dead import add as add_dead
from subscriber.web.console.desk import Desk
from subscriber.web.console.health import add as add_health
from subscriber.web.console.inbox import add as add_inbox
from subscriber.web.console.letters import add as add_letters
from subscriber.web.console.live import add as add_live
from subscriber.web.console.overview import add as add_overview
from subscriber.web.console.pages import HEADERS, static_file
from subscriber.web.console.pauses import add as add_pauses
from subscriber.web.console.subscriptions import add as add_subscriptions
from subscriber.web.console.tenants import add as add_tenants

ADDRESS = "/console"
BEHIND_GATEWAY = "/api/<application>/<version>" + ADDRESS  # where the gateway does not strip its prefix
STATIC = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
STATIC_SECONDS = 3600  # pages name each file with its digest, so a new one is fetched at once

PAGES = (
    add_overview,
    add_inbox,
    add_dead,
    add_letters,
    add_subscriptions,
    add_tenants,
    add_channels,
    add_pauses,
    add_live,
    add_health,
    add_actions,
)


def add_console(app: Flask, desk: Desk) -> None:
    """Serve the console, at its own address and at the one it has behind a gateway."""
    console = blueprint(desk)
    app.register_blueprint(console, url_prefix=ADDRESS)
    app.register_blueprint(console, url_prefix=BEHIND_GATEWAY, name="console_behind_gateway")


def blueprint(desk: Desk) -> Blueprint:
    """Every page and action. ``desk`` is what they work with."""
    console = Blueprint("console", __name__)
    console.url_value_preprocessor(_drop_prefix)
    console.after_request(_harden)
    console.register_error_handler(SubscriberError, lambda error: _show_error(desk, error))
    console.register_error_handler(HTTPException, lambda error: _show_error(desk, _ours(error)))
    console.add_url_rule("", "home", _home)
    console.add_url_rule("/static/<name>", "static", _static)
    for add_page in PAGES:
        add_page(console, desk)
    console.add_url_rule("/<path:rest>", "nowhere", _nowhere, methods=["GET", "POST"])
    return console


def _home() -> Response:
    """Without its slash the address would lead relative links astray."""
    return Response(status=308, headers={"Location": request.path.rsplit("/", 1)[-1] + "/"})


def _static(name: str) -> Response:
    if name not in STATIC:
        raise NotFound("the console has no such file")
    response = Response(static_file(name), content_type=STATIC[name])
    response.headers["Cache-Control"] = f"public, max-age={STATIC_SECONDS}"
    return response


def _nowhere(rest: str) -> Response:
    raise NotFound("the console has no such page")


def _drop_prefix(_endpoint: str | None, values: dict[str, object] | None) -> None:
    """What a gateway put before our address says nothing to us."""
    for name in ("application", "version"):
        (values or {}).pop(name, None)


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def _ours(error: HTTPException) -> SubscriberError:
    """A request that the framework refuses, in our words and with its status."""
    found = NotFound("this page cannot be asked for like that")
    found.status = error.code or found.status
    return found


def _show_error(desk: Desk, error: SubscriberError) -> Response:
    """A page for whoever reads pages, the one error shape for everybody else."""
    status, headers, body = error_answer(error)
    if "text/html" not in request.headers.get("Accept", ""):
        return Response(body, status=status, headers=headers)
    del headers["Content-Length"], headers["Content-Type"]
    response = desk.pages.error(error)
    response.headers.extend(headers)
    return response
