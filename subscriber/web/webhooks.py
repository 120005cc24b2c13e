"""Where platforms deliver: HTTP request → authenticated delivery → intake → status.

The answers are the contract's table. Order matters: who is asking comes before what it sends, so a stranger's body
is never read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from flask import Blueprint, Response, request

from subscriber.errors import RefusedDelivery, SubscriberError
from subscriber.intake import Intake, Kept
from subscriber.metrics import Metrics
from subscriber.model import MINDSPHERE, Claims
from subscriber.web.answers import Answer, error_answer, plain_answer
from subscriber.web.deferral import DEFER, Deferral, Promised
from subscriber.web.reading import read_body

logger = logging.getLogger(__name__)

ANSWERS = {Kept.ACCEPTED: plain_answer(204), Kept.DUPLICATE: plain_answer(204), Kept.DEAD_LETTER: plain_answer(200)}
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


class Outcomes:
    """Counts and logs what becomes of one platform's deliveries, and turns it into answers."""

    def __init__(self, platform: str, metrics: Metrics, answers: Mapping[Kept, Answer]) -> None:
        self._platform = platform
        self._metrics = metrics
        self._answers = answers
        self._refusals = Refusals()

    def refused(self, error: SubscriberError) -> None:
        self._metrics.refused(self._platform, error.reason)
        self._refusals.note(self._platform, error.reason)

    def answer(self, result: Kept | SubscriberError, seconds: float) -> Answer:
        """``seconds`` since the request was parsed."""
        if isinstance(result, SubscriberError):
            self.refused(result)
            return error_answer(result)
        self._metrics.delivered(self._platform, result, seconds)
        return self._answers[result]


def blueprint(intake: Intake, metrics: Metrics, max_body_bytes: int) -> Blueprint:
    """The webhook routes of every platform that is configured."""
    webhooks = Blueprint("webhooks", __name__)
    outcomes = Outcomes(MINDSPHERE, metrics, ANSWERS)

    def mindsphere(**_prefix: str) -> Response:
        started = time.perf_counter()
        try:
            claims = intake.authenticate(MINDSPHERE, request.headers.get("Authorization"))
            body = _read(intake, claims, max_body_bytes)
            headers = {name.lower(): value for name, value in request.headers.items()}
            if DEFER in request.environ:
                return _promise(intake, outcomes, claims, headers, body, started)
            kept = intake.receive(claims, MINDSPHERE, headers, body)
        except SubscriberError as error:
            outcomes.refused(error)
            raise
        answer = outcomes.answer(kept, time.perf_counter() - started)
        return Response(answer.body, answer.status, answer.headers)

    if MINDSPHERE in intake.platforms:
        webhooks.add_url_rule(ENDPOINT, "mindsphere", mindsphere, methods=["POST"])
        webhooks.add_url_rule(BEHIND_GATEWAY, "mindsphere_behind_gateway", mindsphere, methods=["POST"])
    return webhooks


def _promise(
    intake: Intake, outcomes: Outcomes, claims: Claims, headers: dict[str, str], body: bytes, started: float
) -> Response:
    """Hand the delivery to the store and go: the answer leaves with the commit."""
    deferral: Deferral = request.environ[DEFER]

    def then(result: Kept | SubscriberError) -> None:
        deferral.give(lambda: outcomes.answer(result, time.perf_counter() - started))

    deferral.chase = intake.receive_later(claims, MINDSPHERE, headers, body, then)
    deferral.promise()
    return Promised()


def _read(intake: Intake, claims: Claims, max_body_bytes: int) -> bytes:
    try:
        return read_body(request, max_body_bytes)
    except RefusedDelivery as refusal:
        intake.refuse(claims, MINDSPHERE, refusal, request.headers.get("Content-Length", "chunked"))
        raise
