"""Where Pelion's callbacks arrive: one address for each channel.

Every answer that acknowledges is 200 (seed document, step 3: "200 OK"), also to the probe by which the service tries
an address while it is registered. An authenticated callback is never answered 4xx but for its size: it would come
again for a day and hold back all that is behind it.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response, request

from subscriber.callbacks import Callback, Callbacks
from subscriber.errors import RefusedDelivery, SubscriberError
from subscriber.intake import Kept
from subscriber.metrics import Metrics
from subscriber.model import PELION, Tenant
from subscriber.settings import PelionSettings
from subscriber.web.answers import plain_answer
from subscriber.web.clients import client_names
from subscriber.web.deferral import DEFER, Deferral, Promised
from subscriber.web.reading import read_body
from subscriber.web.webhooks import Outcomes

ENDPOINT = "/notifications/pelion/<channel>"
ANSWERS = dict.fromkeys(Kept, plain_answer(200))


def blueprint(callbacks: Callbacks, metrics: Metrics, settings: PelionSettings) -> Blueprint:
    """The route of every channel that is configured, whatever its mode: what is sent to it is taken."""
    pelion = Blueprint("pelion", __name__)
    outcomes = Outcomes(PELION, metrics, ANSWERS)

    def deliver(channel: str) -> Response:
        started = time.perf_counter()
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            names = client_names(request.environ, headers, settings.subject_header)
            tenant = callbacks.authenticate(channel, headers, names)
            callback = callbacks.read(tenant, _body(callbacks, tenant, settings.max_body_bytes))
            if DEFER in request.environ and not callback.holds_nothing:
                return _promise(callbacks, outcomes, callback, started)
            kept = callbacks.keep(callback)
        except SubscriberError as error:
            outcomes.refused(error)
            raise
        answer = outcomes.answer(kept, time.perf_counter() - started)
        response = Response(answer.body, answer.status, answer.headers)
        response.call_on_close(lambda: callbacks.answered(callback, time.perf_counter() - started))
        return response

    pelion.add_url_rule(ENDPOINT, "pelion", deliver, methods=["PUT"])
    return pelion


def _promise(callbacks: Callbacks, outcomes: Outcomes, callback: Callback, started: float) -> Response:
    """Hand the callback to the store and go: the answer leaves with the commit."""
    deferral: Deferral = request.environ[DEFER]

    def then(result: Kept | SubscriberError) -> None:
        if not isinstance(result, SubscriberError):
            deferral.sent = lambda: callbacks.answered(callback, time.perf_counter() - started)
        deferral.give(lambda: outcomes.answer(result, time.perf_counter() - started))

    deferral.chase = callbacks.keep_later(callback, then)
    deferral.promise()
    return Promised()


def _body(callbacks: Callbacks, tenant: Tenant, max_body_bytes: int) -> bytes:
    try:
        return read_body(request, max_body_bytes)
    except RefusedDelivery as refusal:
        callbacks.refuse(tenant, refusal, request.headers.get("Content-Length", "chunked"))
        raise
