"""Where platforms deliver: HTTP request → authenticated delivery → intake → status.

The answers are the contract's table. Order matters: who is asking comes before what it sends, so a stranger's body
is never read.
"""

from __future__ import annotations

import logging
from time import perf_counter

from flask import Blueprint, Response, request

from subscriber.errors import RefusedDelivery, SubscriberError
from subscriber.intake import Intake, Kept
from subscriber.metrics import Metrics
from subscriber.model import MINDSPHERE, Claims
from subscriber.web.reading import read_body

logger = logging.getLogger(__name__)

STATUS = {Kept.ACCEPTED: 204, Kept.DUPLICATE: 204, Kept.DEAD_LETTER: 200}
ENDPOINT = "/notifications/mindsphere"
BEHIND_GATEWAY = "/api/<application>/<version>" + ENDPOINT  # where the gateway does not strip its prefix


def blueprint(intake: Intake, metrics: Metrics, max_body_bytes: int) -> Blueprint:
    """The webhook routes of every configured platform."""
    webhooks = Blueprint("webhooks", __name__)

    def mindsphere(**_prefix: str) -> Response:
        started = perf_counter()
        try:
            kept = _take(intake, max_body_bytes)
        except SubscriberError as error:
            metrics.refused(MINDSPHERE, error.reason)
            logger.warning("refused", extra={"action": "refuse", "platform": MINDSPHERE, "reason": error.reason})
            raise
        metrics.delivered(MINDSPHERE, kept, perf_counter() - started)
        return Response(status=STATUS[kept])

    webhooks.add_url_rule(ENDPOINT, "mindsphere", mindsphere, methods=["POST"])
    webhooks.add_url_rule(BEHIND_GATEWAY, "mindsphere_behind_gateway", mindsphere, methods=["POST"])
    return webhooks


def _take(intake: Intake, max_body_bytes: int) -> Kept:
    claims = intake.authenticate(MINDSPHERE, request.headers.get("Authorization"))
    body = _read(intake, claims, max_body_bytes)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return intake.receive(claims, MINDSPHERE, headers, body)


def _read(intake: Intake, claims: Claims, max_body_bytes: int) -> bytes:
    try:
        return read_body(request, max_body_bytes)
    except RefusedDelivery as refusal:
        intake.refuse(claims, MINDSPHERE, refusal, request.headers.get("Content-Length", "chunked"))
        raise
