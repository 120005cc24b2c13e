"""Where platforms deliver: HTTP request → authenticated delivery → intake → status.

The answers are the contract's table. Order matters: who is asking comes before what it sends, so a stranger's body
is never read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

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
LOG_SECONDS = 1.0  # strangers may be refused thousands of times a second; a line a reason and second says it all


class Refusals:
    """Logs refusals, one line a reason and second, with how many there were since the last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, platform: str, reason: str) -> None:
        with self._lock:
            self._counts[reason] += 1
            now = self._clock()
            if now - self._logged_at.get(reason, float("-inf")) < LOG_SECONDS:
                return
            self._logged_at[reason] = now
            count = self._counts.pop(reason)
        extra = {"action": "refuse", "platform": platform, "reason": reason, "count": count}
        logger.warning("deliveries refused", extra=extra)


def blueprint(intake: Intake, metrics: Metrics, max_body_bytes: int) -> Blueprint:
    """The webhook routes of every platform that is configured."""
    webhooks = Blueprint("webhooks", __name__)
    refusals = Refusals()

    def mindsphere(**_prefix: str) -> Response:
        started = time.perf_counter()
        try:
            kept = _take(intake, max_body_bytes)
        except SubscriberError as error:
            metrics.refused(MINDSPHERE, error.reason)
            refusals.note(MINDSPHERE, error.reason)
            raise
        metrics.delivered(MINDSPHERE, kept, time.perf_counter() - started)
        return Response(status=STATUS[kept])

    if MINDSPHERE in intake.platforms:
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
