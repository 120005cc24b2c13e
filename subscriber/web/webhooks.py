"""Where platforms deliver: HTTP request → authenticated delivery → intake → status.

The answers are the contract's table. Order matters: who is asking comes before what it sends, so a stranger's body
is never read.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from wsgiref.types import WSGIEnvironment

from subscriber.errors import RefusedDelivery, SubscriberError
from subscriber.intake import Intake, Kept
from subscriber.metrics import Metrics
from subscriber.model import MINDSPHERE, Claims
from subscriber.web.answers import Answer, error_answer, plain_answer, refusing_answer
from subscriber.web.deferral import DEFER, Deferral
from subscriber.web.reading import HeaderFields, read_input

logger = logging.getLogger(__name__)

# Also below the prefix /api/{application}/{version}, where the gateway does not strip it.
ADDRESS = re.compile("(/api/[^/]+/[^/]+)?/notifications/mindsphere")
ANSWERS = {Kept.ACCEPTED: plain_answer(204), Kept.DUPLICATE: plain_answer(204), Kept.DEAD_LETTER: plain_answer(200)}
NOT_POSTED = refusing_answer(405, "method_not_allowed", {"Allow": "POST"})
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


class Webhook:
    """Where MindSphere's broker delivers."""

    def __init__(self, intake: Intake, metrics: Metrics, max_body_bytes: int) -> None:
        self._intake = intake
        self._max_body_bytes = max_body_bytes
        self._outcomes = Outcomes(MINDSPHERE, metrics, ANSWERS)
        self._open = MINDSPHERE in intake.platforms

    def is_at(self, path: str) -> bool:
        """Is this the path of a delivery's address?"""
        return self._open and ADDRESS.fullmatch(path) is not None

    def answer(self, environ: WSGIEnvironment) -> Answer | None:
        """What the sender is told; None where the server will be told, see ``deferral``."""
        if environ["REQUEST_METHOD"] != "POST":
            return NOT_POSTED
        started = time.perf_counter()
        try:
            claims = self._intake.authenticate(MINDSPHERE, environ.get("HTTP_AUTHORIZATION"))
            body = self._read(claims, environ)
            if DEFER in environ:
                self._promise(claims, environ, body, started)
                return None
            kept = self._intake.receive(claims, MINDSPHERE, HeaderFields(environ), body)
        except SubscriberError as error:
            return self._outcomes.answer(error, time.perf_counter() - started)
        return self._outcomes.answer(kept, time.perf_counter() - started)

    def _promise(self, claims: Claims, environ: WSGIEnvironment, body: bytes, started: float) -> None:
        """Hand the delivery to the store and go: the answer leaves with the commit."""
        deferral: Deferral = environ[DEFER]

        def then(result: Kept | SubscriberError) -> None:
            deferral.give(lambda: self._outcomes.answer(result, time.perf_counter() - started))

        deferral.chase = self._intake.receive_later(claims, MINDSPHERE, HeaderFields(environ), body, then)
        deferral.promise()

    def _read(self, claims: Claims, environ: WSGIEnvironment) -> bytes:
        try:
            return read_input(environ, self._max_body_bytes)
        except RefusedDelivery as refusal:
            self._intake.refuse(claims, MINDSPHERE, refusal, environ.get("CONTENT_LENGTH", "chunked"))
            raise
