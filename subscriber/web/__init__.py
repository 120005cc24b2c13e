"""The Flask application: routes, one error shape, strict headers.

``create_app`` is given everything it uses and starts nothing. Whatever goes wrong in a request ends here or, for what
is delivered to MindSphere's webhook, at the ``door``, and becomes
``{"error":{"reason","detail"}}``; what is not one of our errors is logged and shown to nobody.
"""

from __future__ import annotations

from typing import Protocol

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from subscriber.callbacks import Callbacks
from subscriber.credentials import Credentials
from subscriber.errors import SubscriberError
from subscriber.intake import Intake
from subscriber.metrics import Metrics
from subscriber.people import People
from subscriber.settings import Settings
from subscriber.store import Store
from subscriber.web import api, ops, pelion
from subscriber.web.answers import STRICT_HEADERS, Answer, error_answer, internal_answer, refusing_answer
from subscriber.web.api import description
from subscriber.web.api.places import Seal
from subscriber.web.console import add_console
from subscriber.web.console.desk import Desk
from subscriber.web.correlation import mark_log_lines
from subscriber.web.door import Door, log_bug
from subscriber.web.ops import YELLOW, Check
from subscriber.web.webhooks import Webhook


class Services(Protocol):
    """The parts of a web process."""

    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def callbacks(self) -> Callbacks | None: ...
    @property
    def credentials(self) -> Credentials | None: ...
    @property
    def people(self) -> People | None: ...


def create_app(services: Services) -> Flask:
    """The WSGI application over ``services``."""
    settings = services.settings
    mark_log_lines()
    app = Flask("subscriber", static_folder=None, template_folder=None)
    app.extensions["subscriber"] = services  # for the server around it: heartbeat, closing the store
    if services.callbacks and settings.pelion:
        app.register_blueprint(pelion.blueprint(services.callbacks, services.metrics, settings.pelion))
    if services.people:
        seal, documents = Seal(settings.shared_secret), description.documents(settings)
        api.add_api(app, services.people, services.store.reports, seal, documents)
        add_console(app, _desk(services, services.people))
    checks = _checks(services.credentials)
    app.register_blueprint(ops.blueprint(services.store, services.metrics, settings.metrics_token, checks))
    answer_alike(app)
    webhook = Webhook(services.intake, services.metrics, settings.max_body_bytes)
    app.wsgi_app = Door(app.wsgi_app, webhook)  # type: ignore[method-assign]  # Flask's own way to put one in front
    return app


def _desk(services: Services, people: People) -> Desk:
    """What the console's pages work with."""
    return Desk(
        settings=services.settings,
        store=services.store,
        people=people,
        metrics=services.metrics,
        credentials=services.credentials,
    )


def _checks(credentials: Credentials | None) -> list[Check]:
    """What makes the service worse than green, beside a store that cannot take a notification."""
    return [] if credentials is None else [Check("credentials", credentials.require_young, grade=YELLOW)]


def answer_alike(app: Flask) -> None:
    """Give an application our error shape and our headers."""
    app.register_error_handler(SubscriberError, _answer_ours)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unexpected)
    app.after_request(_harden)


def _answer_ours(error: SubscriberError) -> Response:
    return _response(error_answer(error))


def _answer_http(error: HTTPException) -> Response:
    """Unknown address or method, unreadable request: Flask's own refusals, with its headers (``Allow``)."""
    reason = (error.name or "error").lower().replace(" ", "_")
    allowed = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
    return _response(refusing_answer(error.code or 500, reason, allowed))


def _answer_unexpected(error: Exception) -> Response:
    log_bug(error)
    return _response(internal_answer())


def _response(answer: Answer) -> Response:
    return Response(answer.body, status=answer.status, headers=answer.headers)


def _harden(response: Response) -> Response:
    for name, value in STRICT_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
